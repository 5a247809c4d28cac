"""What `pysidctx serve` needs of each server: that it has the functions to hook into, and that it is to use TLS."""

import os
import ssl
import warnings
from importlib import metadata
from types import FunctionType
from typing import Any, Optional


class NotServed(Exception):
    """The server was not started, for the reason that the message gives."""


def require(server: str, found: Optional[Any], *names: str) -> None:
    """Raise NotServed unless a function of the server calls those names, which pysidctx replaces."""
    if not isinstance(found, FunctionType) or not {*names} <= {*found.__code__.co_names}:
        raise NotServed(
            f"this {server}, {metadata.version(server)}, starts in another way than those that pysidctx knows: report "
            "it, and until then start it in a program of your own, as described in docs/servers.md")


def without_certificate(server: str, option: str) -> NotServed:
    return NotServed(f"{server} has no certificate, so it would serve without TLS, and there would be nothing to "
                     f"resume: pass {option}, or start {server} without pysidctx")


def require_certificate(certfile: str, keyfile: Optional[str], password: Optional[str]) -> None:
    """Raise NotServed if the certificate cannot be loaded, because each worker would end, and another one be started.

    A key for whose pass phrase the server asks is left to it.
    """
    for path in (certfile, keyfile or certfile):
        if not os.access(path, os.R_OK):
            raise NotServed(f"{os.fspath(path)!r} does not exist or cannot be read: correct the path")
    ctx, asked = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), []
    ctx.set_ciphers("DEFAULT:@SECLEVEL=0")  # those of the server may allow weak keys

    def ask() -> str:
        asked.append(True)
        return password or ""

    try:
        ctx.load_cert_chain(certfile, keyfile, ask)
    except (OSError, ValueError) as error:
        if not asked or password:
            why = (getattr(error, "reason", None) or str(error)).replace("_", " ").lower()
            raise NotServed(f"the certificate in {os.fspath(certfile)!r} and its key in "
                            f"{os.fspath(keyfile or certfile)!r} cannot be loaded ({why}): pass PEM files with a "
                            "certificate and with the key of that certificate") from None


def warn_without_authorities(asks: object, authorities: object, option: str) -> None:
    """Emit a RuntimeWarning if clients are asked for certificates, and no CA is named by which to verify them."""
    if asks and not authorities:
        warnings.warn("pysidctx: clients are asked for certificates, but no CA is named that issues them, so none is "
                      f"accepted: pass {option}", RuntimeWarning, stacklevel=3)
