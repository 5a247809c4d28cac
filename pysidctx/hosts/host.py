"""The tuples of a HostMap: what serves a host, and how many connections were routed."""

import ssl
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pysidctx._typing import Buffer


class Host(NamedTuple):
    """What serves a host: an `ssl.SSLContext`, and the id context to use with it.

    Use it as a value of a HostMap, in which an `SSLContext` alone gets a derived id context. Hosts with
    equal id contexts share their sessions, so give them the same certificates and the same client
    verification: a client that one of them accepted resumes on the others.
    """

    context: ssl.SSLContext
    session_id_context: "Buffer"


Host.context.__doc__ = "An `ssl.SSLContext`, as HostMap takes it."
Host.session_id_context.__doc__ = (  # type: ignore[misc]
    """A bytes-like object of 1 to 32 bytes.

It is used unchanged, so sessions survive a change of the context's certificates, CAs or revocation lists, and
their clients are not verified again. Choose another one then, or leave it to the HostMap to derive one.
""")


class HostMapStats(NamedTuple):
    """How many connections were routed by a HostMap, each an int, as `HostMap.stats()` returns."""

    matched: int
    unmatched: int
    rejected: int
    malformed: int


HostMapStats.matched.__doc__ = "Connections whose host was found."
HostMapStats.unmatched.__doc__ = ("Connections that named no host of the map, or none at all, and were served by the "
                                  "listener's context.")
HostMapStats.rejected.__doc__ = "The same, but their handshake ended with the alert unrecognized_name."
HostMapStats.malformed.__doc__ = ("Connections whose server_name extension violates RFC 6066, and whose handshake "
                                  "ended with the alert decode_error.")
