"""What is told of hosts in tuples: what serves one, and how many connections were routed."""

import ssl
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pysidctx._typing import Buffer


class Host(NamedTuple):
    """What serves a host: an `ssl.SSLContext`, and the id context to use with it.

    As a value of a HostMap, where an `SSLContext` alone would get a derived id context. Hosts with equal
    id contexts share their sessions, so give these the same certificates and the same client
    verification: what one of them lets in, the others resume.

    context
        An `ssl.SSLContext`, as HostMap takes it.
    session_id_context
        A bytes-like object of 1 to 32 bytes. It stands alone: when the context's certificates, CAs or
        revocation lists change, sessions from before are resumed still, and nobody verifies their clients
        again. Name another one then, or leave it to the HostMap to derive one.
    """

    context: ssl.SSLContext
    session_id_context: "Buffer"


class HostMapStats(NamedTuple):
    """How many connections were routed by a HostMap, as `HostMap.stats()` tells."""

    matched: int
    unmatched: int
    rejected: int
    malformed: int
