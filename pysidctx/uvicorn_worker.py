"""uvicorn's worker for gunicorn, whose contexts every worker resumes on: for `worker_class`."""

from typing import Any

import uvicorn_worker

from pysidctx.servers import ssl_context_factory


class UvicornWorker(uvicorn_worker.UvicornWorker):  # type: ignore[misc]
    """Passes `ssl_context_factory` to uvicorn, which does not know gunicorn's hook `ssl_context`.

    It needs the package uvicorn-worker, and uvicorn 0.47 or later. A subclass may name another hook
    `(config, default_factory)` in its attribute `ssl_context_factory`.
    """

    ssl_context_factory = staticmethod(ssl_context_factory)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self.cfg.is_ssl:  # for uvicorn, a hook alone means that there is to be TLS
            self.config.ssl_context_factory = self.ssl_context_factory
