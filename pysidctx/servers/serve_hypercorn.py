"""hypercorn's command line with a configuration whose contexts the hook makes; hypercorn itself has no hook."""

import ssl
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any, Optional

from hypercorn.config import Config

from pysidctx.servers.launch import require, require_certificate, warn_without_authorities, without_certificate
from pysidctx.servers.spawning_hook import Hook, SpawningHook


class ResumingConfig(Config):
    """It is pickled for the workers, which call create_ssl_context()."""

    resuming_hook: Hook

    def create_ssl_context(self) -> Optional[ssl.SSLContext]:
        return self.resuming_hook(self, super().create_ssl_context) if self.ssl_enabled else None


def serve(prog: str, arguments: list[str]) -> int:
    """Run hypercorn with arguments of its command line; returns its exit code. Raises NotServed, SystemExit."""
    module: Any = import_module("hypercorn.__main__")
    require("hypercorn", getattr(module, "main", None), "run", "_load_config")
    require("hypercorn", getattr(module, "_load_config", None), "Config")
    require("hypercorn", getattr(Config, "create_ssl_context", None), "ssl_enabled")
    start: Callable[[Config], Optional[int]] = module.run

    def run(config: ResumingConfig) -> Optional[int]:
        if not config.ssl_enabled or config.certfile is None:
            raise without_certificate("hypercorn", "--certfile and --keyfile")
        warn_without_authorities(config.verify_mode, config.ca_certs, "--ca-certs")
        if config.quic_bind:
            warnings.warn("pysidctx: QUIC connections are made without Python's ssl, so nothing changes for them; "
                          "those of --bind resume", RuntimeWarning, stacklevel=2)
        require_certificate(config.certfile, config.keyfile, config.keyfile_password)
        config.resuming_hook = SpawningHook()
        return start(config)

    module.Config, module.run = ResumingConfig, run
    sys.argv = [prog, *arguments]
    code: Optional[int] = module.main(arguments)
    return code or 0
