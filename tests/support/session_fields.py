"""The fields by which two sessions are compared."""

from pysidctx import Session


def fields(session: Session) -> dict[str, object]:
    return {name: getattr(session, name) for name in (
        "id", "id_context", "protocol", "cipher", "time", "timeout", "has_ticket",
        "ticket_lifetime_hint", "resumable", "peer_certificate", "hostname")}
