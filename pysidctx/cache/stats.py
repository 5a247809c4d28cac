"""CacheStats, the counts of a SessionCache."""

from typing import NamedTuple


class CacheStats(NamedTuple):
    """What a SessionCache has done: each field is an int.

    The fields from `published` on are those of the whole machine, the others those of this process.
    """

    stored: int
    hits: int
    misses: int
    expired: int
    forgotten: int
    torn: int
    evicted: int
    too_large: int
    peers_decoded: int
    peers_missing: int
    published: int
    received: int
    dropped: int
    lag: int


CacheStats.stored.__doc__ = (
    "Sessions that were stored. A TLS 1.3 server stores `num_tickets` of them in a full handshake, and one in one that "
    "was resumed.")
CacheStats.hits.__doc__ = (
    """Sessions that were asked for and found.

A session is then resumed if its id context equals that of the connection, and if it has a client certificate where the
connection requires one. A client that answers a HelloRetryRequest asks twice, and is counted twice.
""")
CacheStats.misses.__doc__ = (
    """Sessions that were asked for and not found, for whatever reason.

A TLS 1.3 client that negotiates TLS 1.2 asks for a session in each full handshake, whose name it has made up.
""")
CacheStats.expired.__doc__ = "Misses because the session's lifetime, or its client's certificates, had expired."
CacheStats.forgotten.__doc__ = "Misses because of `forget()` or `forget_all()`."
CacheStats.torn.__doc__ = (
    """Entries that could not be opened.

Two processes wrote them at once, a process was killed while it wrote them, or something else has changed the memory.
""")
CacheStats.evicted.__doc__ = (
    "Entries that had not expired and were overwritten for lack of space: make the memory larger.")
CacheStats.too_large.__doc__ = (
    "Sessions that were not stored because their host name, or their client's certificate, is too long.")
CacheStats.peers_decoded.__doc__ = (
    "Client certificates that were decoded: each once in a process, unless there are more clients than `peers`.")
CacheStats.peers_missing.__doc__ = (
    "Misses because the client's certificate was overwritten for lack of space, or could not be opened.")
CacheStats.published.__doc__ = "Entries that this machine has sent to the others. A client certificate takes several."
CacheStats.received.__doc__ = "Entries of other machines that were stored here."
CacheStats.dropped.__doc__ = (
    """Entries that the other machines have missed, and messages that could not be understood or opened.

The channel was down, or there was more than could be sent; or somebody else writes to it.
""")
CacheStats.lag.__doc__ = (
    "How long the last message took from another machine, in milliseconds, by both machines' clocks.")
