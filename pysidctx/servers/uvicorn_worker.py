"""uvicorn's worker class for gunicorn, which calls the hook `ssl_context`: name it as `worker_class`."""

import warnings
from typing import Any

import uvicorn_worker

from pysidctx.servers.factory import ssl_context_factory
from pysidctx.servers.gunicorn_hook import hook_of


class UvicornWorker(uvicorn_worker.UvicornWorker):  # type: ignore[misc]
    """uvicorn's worker, which also calls gunicorn's hook `ssl_context`; uvicorn's own class does not.

    If the configuration sets no hook, it calls `pysidctx.servers.ssl_context_factory`. A subclass can replace
    that by a hook `(config, default_factory)` in its attribute `ssl_context_factory`. Needs the package
    uvicorn-worker, and uvicorn 0.47 or later; with an older one, it emits a RuntimeWarning, and nothing is resumed.
    """

    calls_ssl_context = True
    ssl_context_factory = staticmethod(ssl_context_factory)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self.cfg.is_ssl and not hasattr(self.config, "ssl_context_factory"):
            warnings.warn("pysidctx: this uvicorn has no ssl_context_factory, so the workers do not resume each "
                          "other's sessions: python -m pip install 'uvicorn>=0.47', which needs Python 3.10 or later",
                          RuntimeWarning, stacklevel=2)
        elif self.cfg.is_ssl:  # uvicorn turns TLS on as soon as a hook is set
            self.config.ssl_context_factory = self._ssl_context

    def _ssl_context(self, config: Any, default_factory: Any) -> Any:
        hook = hook_of(self.cfg)
        if hook is None:
            return self.ssl_context_factory(config, default_factory)
        return hook(self.cfg, default_factory)
