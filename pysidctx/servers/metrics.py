"""The names of the metrics that servers export, and the counters that they show."""

from typing import NamedTuple, Optional

from pysidctx.lockfree.totals import Totals


class Metric(NamedTuple):
    """A metric without the prefix `pysidctx_`. Its samples differ in the value of `label`, if it has one."""

    name: str
    text: str
    label: Optional[str]
    samples: tuple[tuple[str, str], ...]  # the value of the label, and the field of Totals

    def values(self, totals: Totals) -> list[tuple[str, int]]:
        return [(value, getattr(totals, field)) for value, field in self.samples]


def metric(name: str, text: str, field: str) -> Metric:
    return Metric(name, text, None, (("", field),))


METRICS = (
    metric("handshakes", "Connections whose ClientHello was read.", "handshakes"),
    Metric("resumed", "Of these, connections that resumed a session, in a ticket or stored.", "by",
           (("ticket", "resumed_by_ticket"), ("stored", "resumed_stored"))),
    metric("tickets_issued", "Tickets that were issued.", "tickets_issued"),
    Metric("tickets_received", "Tickets that clients have offered: accepted, encrypted with an unknown key, expired or "
           "invalid.", "result", (("accepted", "tickets_accepted"), ("unknown_key", "tickets_unknown_key"),
                                  ("expired", "tickets_expired"), ("invalid", "tickets_invalid"))),
    metric("tickets_renewed", "Accepted tickets that were replaced with a new one.", "tickets_renewed"),
    metric("sessions_stored", "Sessions that were stored in the session cache.", "sessions_stored"),
    Metric("sessions_looked_up", "Sessions that were looked up in the session cache.", "result",
           (("hit", "sessions_hits"), ("miss", "sessions_misses"))),
    metric("sessions_expired", "Misses because the session had expired.", "sessions_expired"),
    metric("sessions_forgotten", "Misses because the session was forgotten.", "sessions_forgotten"),
    metric("sessions_torn", "Stored entries that could not be opened.", "sessions_torn"),
    metric("sessions_evicted", "Stored entries that were overwritten for lack of space.", "sessions_evicted"),
    metric("sessions_too_large", "Sessions that were too large to be stored.", "sessions_too_large"),
    metric("peers_decoded", "Client certificates of stored sessions that were decoded.", "peers_decoded"),
    metric("peers_missing", "Misses because the client's certificate was overwritten.", "peers_missing"),
    Metric("names", "Connections that a HostMap has routed, by what it found for the server name: a host, none, none "
           "so that it was rejected, or a malformed name.", "result",
           (("matched", "names_matched"), ("unmatched", "names_unmatched"), ("rejected", "names_rejected"),
            ("malformed", "names_malformed"))),
    metric("contexts_built", "SSLContexts that workers have built.", "contexts_built"),
    metric("certificate_renewals", "SSLContexts that workers have built again because a certificate or another file "
           "had changed.", "certificate_renewals"),
    metric("context_failures", "Attempts to build an SSLContext again that failed.", "context_failures"),
)
