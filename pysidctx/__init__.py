"""Session id contexts for Python's TLS servers.

See SSL_CTX_set_session_id_context(3) for what they are, and the README for a first example.
"""

# Before pysidctx's own modules: it loads the libssl that they are to share with it.
import ssl as _ssl

try:
    from pysidctx.errors import Error, LibraryMismatchError, SessionError, WrongContextError
except ModuleNotFoundError as _error:
    if _error.name != "pysidctx.errors":
        raise
    raise ImportError(
        f"pysidctx is not built for this Python in {__path__[0]}: run `python -m pip install "
        "--editable .` in its folder, or start Python in another one"
    ) from None

from pysidctx.derivation import derive_session_id_context
from pysidctx.environment import warn_of_unknown as _warn_of_unknown
from pysidctx.fingerprint import context_fingerprint
from pysidctx.hostmap import HostMap, HostMapStats
from pysidctx.hosts import Host
from pysidctx.paths import get_include
from pysidctx.session import Session
from pysidctx.sharing import resumable
from pysidctx.sidctx import MAX_SID_CTX_LENGTH, set_session_id_context
from pysidctx.tickets import TicketKeys, TicketStats

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

_warn_of_unknown()
