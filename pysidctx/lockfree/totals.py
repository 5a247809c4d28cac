"""Totals, what all workers of a server have counted."""

from typing import NamedTuple


class Totals(NamedTuple):
    """What all processes of a server have counted since their shared memory was made: each field is an int."""

    handshakes: int
    resumed_by_ticket: int
    resumed_stored: int
    tickets_issued: int
    tickets_accepted: int
    tickets_renewed: int
    tickets_unknown_key: int
    tickets_invalid: int
    tickets_expired: int
    sessions_stored: int
    sessions_hits: int
    sessions_misses: int
    sessions_expired: int
    sessions_forgotten: int
    sessions_torn: int
    sessions_evicted: int
    sessions_too_large: int
    peers_decoded: int
    peers_missing: int
    names_matched: int
    names_unmatched: int
    names_rejected: int
    names_malformed: int
    contexts_built: int
    certificate_renewals: int
    context_failures: int


Totals.handshakes.__doc__ = (
    "Connections whose ClientHello was read, on every SSLContext that has an id context, TicketKeys, a HostMap or a "
    "SessionCache of pysidctx.")
Totals.resumed_by_ticket.__doc__ = (
    """Of these, connections that resumed the session in a ticket of TicketKeys.

The ticket was accepted, and its session has the id context of the connection. The client may still break the handshake
off.
""")
Totals.resumed_stored.__doc__ = "The same for a session that a SessionCache had stored."
Totals.tickets_issued.__doc__ = "`issued` of all TicketKeys: see TicketStats."
Totals.tickets_accepted.__doc__ = "`accepted` of all TicketKeys."
Totals.tickets_renewed.__doc__ = "`renewed` of all TicketKeys."
Totals.tickets_unknown_key.__doc__ = "`unknown_key` of all TicketKeys."
Totals.tickets_invalid.__doc__ = "`invalid` of all TicketKeys."
Totals.tickets_expired.__doc__ = "`expired` of all TicketKeys."
Totals.sessions_stored.__doc__ = "`stored` of all SessionCaches: see CacheStats."
Totals.sessions_hits.__doc__ = "`hits` of all SessionCaches."
Totals.sessions_misses.__doc__ = "`misses` of all SessionCaches."
Totals.sessions_expired.__doc__ = "`expired` of all SessionCaches."
Totals.sessions_forgotten.__doc__ = "`forgotten` of all SessionCaches."
Totals.sessions_torn.__doc__ = "`torn` of all SessionCaches."
Totals.sessions_evicted.__doc__ = "`evicted` of all SessionCaches."
Totals.sessions_too_large.__doc__ = "`too_large` of all SessionCaches."
Totals.peers_decoded.__doc__ = "`peers_decoded` of all SessionCaches."
Totals.peers_missing.__doc__ = "`peers_missing` of all SessionCaches."
Totals.names_matched.__doc__ = "`matched` of all HostMaps: see HostMapStats."
Totals.names_unmatched.__doc__ = "`unmatched` of all HostMaps."
Totals.names_rejected.__doc__ = "`rejected` of all HostMaps."
Totals.names_malformed.__doc__ = "`malformed` of all HostMaps."
Totals.contexts_built.__doc__ = (
    "SSLContexts that the hooks of `pysidctx.servers` have built, again or for the first time.")
Totals.certificate_renewals.__doc__ = (
    "Of these, contexts that were built again because a certificate or another watched file had changed. Each worker "
    "builds its own.")
Totals.context_failures.__doc__ = (
    "Attempts to build a context again that failed, so that the earlier one stays in use. There is one each second in "
    "which a client connects, until the cause is removed.")
