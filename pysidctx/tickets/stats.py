"""TicketStats, the counts of a TicketKeys."""

from typing import NamedTuple


class TicketStats(NamedTuple):
    """How many tickets a TicketKeys has issued, accepted and refused: each field is an int."""

    issued: int
    accepted: int
    renewed: int
    unknown_key: int
    expired: int
    invalid: int


TicketStats.issued.__doc__ = (
    "Tickets that were issued. A TLS 1.3 server issues `num_tickets` of them in a full handshake.")
TicketStats.accepted.__doc__ = (
    """Tickets from clients that were decrypted, are authentic and have not expired.

The session is then resumed if its id context equals that of the connection, and if it has a client certificate
where the connection requires one. A client that answers a HelloRetryRequest sends its ticket twice, and it is
counted twice.
""")
TicketStats.renewed.__doc__ = (
    """Accepted tickets that the server replaces with a new one.

All of them in TLS 1.3; in TLS 1.2, those that were encrypted with the key of an earlier period, or of a file after
the first.
""")
TicketStats.unknown_key.__doc__ = "Tickets that were encrypted with another key, or that are not tickets at all."
TicketStats.expired.__doc__ = (
    """Tickets that must not be resumed any more.

Their full handshake was more than `lifetime` seconds ago or lies in the future, their client certificates or
revocation lists have expired, or they were issued on a connection that `sni_callback` had switched to another
context.
""")
TicketStats.invalid.__doc__ = (
    """Tickets that carry the name of one of these keys but were altered or not issued by pysidctx.

They fail authentication or decryption, or do not carry the time of a full handshake.
""")
