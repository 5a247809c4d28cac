"""ClientStats, the counts of a ClientSessions."""

from typing import NamedTuple


class ClientStats(NamedTuple):
    """What a ClientSessions has done in this process, and what it holds: each field is an int."""

    stored: int
    offered: int
    resumed: int
    declined: int
    expired: int
    dropped: int
    unlisted: int
    sessions: int
    hosts: int


ClientStats.stored.__doc__ = "Sessions that were stored. A TLS 1.3 server usually sends two tickets in a handshake."
ClientStats.offered.__doc__ = "Handshakes in which a stored session was offered."
ClientStats.resumed.__doc__ = "Handshakes in which the server resumed it."
ClientStats.declined.__doc__ = "Handshakes in which the server made a full handshake instead."
ClientStats.expired.__doc__ = (
    """Sessions that were removed because they had expired.

Their timeout, the server's ticket lifetime or the peer's certificates had.
""")
ClientStats.dropped.__doc__ = (
    """Sessions that were removed, or not stored, for another reason.

The host or the list of its sessions was full, a handshake that offered a session failed, the settings of the context
had changed since the handshake, or the ticket was too long. `forget()`, `clear()` and `save()` do not count.
""")
ClientStats.unlisted.__doc__ = (
    """SSLContexts whose trust cannot be listed, each once.

OpenSSL loads their CAs on demand, from a directory (`capath`) or the system's defaults. Such a context keeps its
sessions to itself, and they are not saved.
""")
ClientStats.sessions.__doc__ = "Sessions that are stored now."
ClientStats.hosts.__doc__ = (
    "Hosts that have stored sessions now. A host counts once for each group of contexts that share sessions.")
