"""gunicorn's command line with the hook `ssl_context`, for which it has no option."""

import sys
from typing import Any

from gunicorn.app.wsgiapp import WSGIApplication

from pysidctx.servers.factory import ssl_context_factory
from pysidctx.servers.gunicorn_hook import hook_of, in_place_of
from pysidctx.servers.launch import warn_without_authorities, without_certificate


class ResumingApplication(WSGIApplication):  # type: ignore[misc]
    """What `gunicorn` runs. A hook that the configuration sets is used instead of `ssl_context_factory`."""

    def __init__(self, prog: str, arguments: list[str]) -> None:
        self._arguments = arguments
        super().__init__("%(prog)s [OPTIONS] [APP_MODULE]", prog=prog)

    def load_config(self) -> None:
        """Called at the start, and again for each SIGHUP."""
        whole = sys.argv  # gunicorn also needs it whole, to start anew for SIGUSR2
        sys.argv = [whole[0], *self._arguments]
        try:
            super().load_config()
        finally:
            sys.argv = whole
        if hook_of(self.cfg) is None:
            self.cfg.set("ssl_context", ssl_context_factory)
        ours = in_place_of(self.cfg.worker_class)
        if ours is not None:
            self.cfg.set("worker_class", ours)
        then = self.cfg.pre_exec

        def pre_exec(server: Any) -> None:
            start_as_before(server.START_CTX)
            then(server)

        self.cfg.set("pre_exec", pre_exec)

    def run(self) -> None:
        if not self.cfg.is_ssl:
            raise without_certificate("gunicorn", "--certfile")
        if self.cfg.ssl_context is ssl_context_factory:
            warn_without_authorities(self.cfg.cert_reqs, self.cfg.ca_certs, "--ca-certs")
        super().run()


def start_as_before(context: dict[Any, Any]) -> None:
    """Change the command of the master that SIGUSR2 starts, if `python -m pysidctx` has started this one.

    Started by the path of __main__.py, as gunicorn would, it would import modules of pysidctx as top-level ones.
    """
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None and spec.name == "pysidctx.__main__":
        program, _, *arguments = context["args"]
        context["args"] = [program, "-m", "pysidctx", *arguments]


def serve(prog: str, arguments: list[str]) -> int:
    """Run gunicorn with arguments of its command line. Raises NotServed, SystemExit."""
    ResumingApplication(prog, arguments).run()
    return 0
