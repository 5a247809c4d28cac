"""uvicorn's worker for gunicorn, whose contexts every worker resumes on: for `worker_class`."""

from typing import Any

import uvicorn_worker

from pysidctx.servers.factory import ssl_context_factory
from pysidctx.servers.gunicorn_hook import hook_of


class UvicornWorker(uvicorn_worker.UvicornWorker):  # type: ignore[misc]
    """Calls gunicorn's hook `ssl_context`, which uvicorn does not know; `ssl_context_factory` where none is set.

    It needs the package uvicorn-worker, and uvicorn 0.47 or later. A subclass may name another hook
    `(config, default_factory)` in its attribute `ssl_context_factory`.
    """

    calls_ssl_context = True
    ssl_context_factory = staticmethod(ssl_context_factory)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self.cfg.is_ssl:  # for uvicorn, a hook alone means that there is to be TLS
            self.config.ssl_context_factory = self._ssl_context

    def _ssl_context(self, config: Any, default_factory: Any) -> Any:
        hook = hook_of(self.cfg)
        if hook is None:
            return self.ssl_context_factory(config, default_factory)
        return hook(self.cfg, default_factory)
