"""Session id contexts for Python's TLS servers.

See SSL_CTX_set_session_id_context(3) for what they are, and the README for a first example.
"""

# Before pysidctx's own modules: it loads the libssl that they are to share with it.
import ssl as _ssl  # noqa: F401
from pathlib import Path as _Path

try:
    from pysidctx.environment import warn_of_unknown as _warn_of_unknown
    from pysidctx.exceptions import Error, LibraryMismatchError, SessionError, WrongContextError
    from pysidctx.hosts.host import Host, HostMapStats
    from pysidctx.hosts.hostmap import HostMap
    from pysidctx.id_contexts.derivation import derive_session_id_context
    from pysidctx.id_contexts.fingerprint import context_fingerprint
    from pysidctx.id_contexts.setters import _C_API, MAX_SID_CTX_LENGTH, set_session_id_context  # noqa: F401
    from pysidctx.sessions.session import Session
    from pysidctx.sharing import resumable
    from pysidctx.tickets.stats import TicketStats
    from pysidctx.tickets.ticket_keys import TicketKeys
except ModuleNotFoundError as _error:
    if not (_error.name or "").startswith("pysidctx."):
        raise
    raise ImportError(
        f"pysidctx is not built for this Python in {__path__[0]}: run `python -m pip install "
        "--editable .` in its folder, or start Python in another one"
    ) from None

__version__ = "0.1.0"

__all__ = [
    "MAX_SID_CTX_LENGTH",
    "Error",
    "Host",
    "HostMap",
    "HostMapStats",
    "LibraryMismatchError",
    "Session",
    "SessionError",
    "TicketKeys",
    "TicketStats",
    "WrongContextError",
    "context_fingerprint",
    "derive_session_id_context",
    "get_include",
    "resumable",
    "set_session_id_context",
]


def get_include() -> str:
    """Return the folder that holds `pysidctx.h`, for a C compiler's include path.

    Code that is compiled with it also needs OpenSSL's own headers. Safe in any thread.
    """
    package = _Path(__file__).resolve().parent
    installed = package / "include"
    # An editable installation leaves the headers where the source has them.
    return str(installed if installed.is_dir() else package.parent / "include")


_warn_of_unknown()
