"""aiohttp's worker classes for gunicorn, which call the hook `ssl_context`: name one as `worker_class`."""

import ssl
from functools import partial
from typing import Any

import aiohttp.worker

from pysidctx.servers.factory import ssl_context_factory
from pysidctx.servers.gunicorn_hook import hook_of


class GunicornWebWorker(aiohttp.worker.GunicornWebWorker):
    """aiohttp's worker, which also calls gunicorn's hook `ssl_context`; aiohttp's own class does not.

    If the configuration sets no hook, it calls `pysidctx.servers.ssl_context_factory`. A subclass can replace
    that by a hook `(config, default_factory)` in its attribute `ssl_context_factory`. Needs the packages
    aiohttp and gunicorn.
    """

    calls_ssl_context = True
    ssl_context_factory = staticmethod(ssl_context_factory)

    def _create_ssl_context(self, cfg: Any) -> ssl.SSLContext:  # type: ignore[override]
        hook = hook_of(cfg) or self.ssl_context_factory
        made: ssl.SSLContext = hook(cfg, partial(super()._create_ssl_context, cfg))
        return made


class GunicornUVLoopWebWorker(GunicornWebWorker, aiohttp.worker.GunicornUVLoopWebWorker):
    """The same worker on uvloop. Needs the package uvloop too."""
