"""uvicorn's command line with the hook that it takes as `ssl_context_factory`, which has no option."""

import importlib
import inspect
import sys
from typing import Any

import uvicorn

from pysidctx.servers.launch import (
    NotServed,
    require,
    require_certificate,
    warn_without_authorities,
    without_certificate,
)
from pysidctx.servers.spawning_hook import SpawningHook

OLDEST = "0.47"


def serve(prog: str, arguments: list[str]) -> int:
    """Run uvicorn with arguments of its command line. Raises NotServed, SystemExit."""
    module: Any = importlib.import_module("uvicorn.main")  # as an attribute of the package, `main` is the command
    if "ssl_context_factory" not in inspect.signature(uvicorn.run).parameters:
        raise NotServed(f"uvicorn {uvicorn.__version__} has no ssl_context_factory: "
                        f"python -m pip install 'uvicorn>={OLDEST}', which needs Python 3.10 or later")
    require("uvicorn", getattr(uvicorn.main, "callback", None), "run")
    start = module.run

    def run(*application: Any, **options: Any) -> None:
        if not options.get("ssl_certfile"):
            raise without_certificate("uvicorn", "--ssl-certfile")
        warn_without_authorities(options.get("ssl_cert_reqs"), options.get("ssl_ca_certs"), "--ssl-ca-certs")
        require_certificate(options["ssl_certfile"], options.get("ssl_keyfile"), options.get("ssl_keyfile_password"))
        start(*application, **options, ssl_context_factory=SpawningHook())

    module.run = run
    sys.argv = [prog, *arguments]  # for the application: main() is told
    module.main.main(arguments, prog_name=prog)
    return 0
