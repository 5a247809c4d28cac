"""aiohttp's workers for gunicorn, whose contexts every worker resumes on: for `worker_class`."""

import ssl
from functools import partial
from typing import Any

import aiohttp.worker

from pysidctx.servers.factory import ssl_context_factory
from pysidctx.servers.gunicorn_hook import hook_of


class GunicornWebWorker(aiohttp.worker.GunicornWebWorker):
    """Calls gunicorn's hook `ssl_context`, which aiohttp does not know; `ssl_context_factory` where none is set.

    It needs the packages aiohttp and gunicorn. A subclass may name another hook
    `(config, default_factory)` in its attribute `ssl_context_factory`.
    """

    calls_ssl_context = True
    ssl_context_factory = staticmethod(ssl_context_factory)

    def _create_ssl_context(self, cfg: Any) -> ssl.SSLContext:  # type: ignore[override]
        hook = hook_of(cfg) or self.ssl_context_factory
        made: ssl.SSLContext = hook(cfg, partial(super()._create_ssl_context, cfg))
        return made


class GunicornUVLoopWebWorker(GunicornWebWorker, aiohttp.worker.GunicornUVLoopWebWorker):
    """The same on uvloop, which has to be installed."""
