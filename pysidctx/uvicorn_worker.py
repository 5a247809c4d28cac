"""uvicorn's worker for gunicorn, whose contexts every worker resumes on: for `worker_class`."""

import uvicorn_worker

from pysidctx.servers import ssl_context_factory


class UvicornWorker(uvicorn_worker.UvicornWorker):  # type: ignore[misc]
    """Passes `ssl_context_factory` to uvicorn, which does not know gunicorn's hook `ssl_context`.

    It needs the package uvicorn-worker, and uvicorn 0.47 or later.
    """

    CONFIG_KWARGS = {
        **uvicorn_worker.UvicornWorker.CONFIG_KWARGS,
        "ssl_context_factory": ssl_context_factory,
    }
