"""Session id contexts for Python's TLS servers.

See SSL_CTX_set_session_id_context(3) for what they are, and the README for a first example.
"""

# Before pysidctx's own modules: it loads the libssl in which they find their functions.
import ssl as _ssl  # noqa: F401
from pathlib import Path as _Path

from pysidctx.exceptions import Error, LibraryMismatchError, SessionError, WrongContextError

try:
    import pysidctx.binding as _binding  # noqa: F401
except ModuleNotFoundError as _error:
    if _error.name != "pysidctx.binding":
        raise
    raise ImportError(
        f"pysidctx is not built for this Python in {__path__[0]}: run `python -m pip install "
        "--editable .` in its folder, or start Python in another one"
    ) from None
except ImportError as _error:
    if isinstance(_error, LibraryMismatchError) or "libssl" not in str(_error) and "libcrypto" not in str(_error):
        raise
    raise LibraryMismatchError(
        f"the OpenSSL that pysidctx was built with is not on this machine any more ({_error}): build pysidctx again "
        "from source, or without OpenSSL, which it then finds when it is imported, with the environment variable "
        "PYSIDCTX_BINDING=late"
    ) from None

from pysidctx.cache.session_cache import SessionCache
from pysidctx.cache.stats import CacheStats
from pysidctx.clients.client_sessions import ClientSessions
from pysidctx.clients.stats import ClientStats
from pysidctx.environment import warn_of_unknown as _warn_of_unknown
from pysidctx.hosts.host import Host, HostMapStats
from pysidctx.hosts.hostmap import HostMap
from pysidctx.id_contexts.derivation import derive_session_id_context
from pysidctx.id_contexts.fingerprint import context_fingerprint
from pysidctx.id_contexts.setters import _C_API, MAX_SID_CTX_LENGTH, set_session_id_context  # noqa: F401
from pysidctx.sessions.session import Session
from pysidctx.sharing import resumable
from pysidctx.tickets.stats import TicketStats
from pysidctx.tickets.ticket_keys import TicketKeys

__version__ = "0.1.0"

__all__ = [
    "MAX_SID_CTX_LENGTH",
    "CacheStats",
    "ClientSessions",
    "ClientStats",
    "Error",
    "Host",
    "HostMap",
    "HostMapStats",
    "LibraryMismatchError",
    "Session",
    "SessionCache",
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
