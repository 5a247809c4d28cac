"""Judge the observations of an audit: findings, each with a grade, a reason and advice."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Optional

from pysidctx.cli.check.audit import SURE, WAYS, AuditedHost, Crossing, Evidence, Options, Returning, Shown, Way, unseen

OK, NOTE, FAULT = "ok", "note", "fault"
INFO = "info"  # no verdict: of what the server does not offer, or nobody uses

WEEK = 7 * 24 * 3600  # RFC 8446, section 4.6.1
MOST_NAME = 32  # bytes: no ticket of this size holds a secret and what proves that it is genuine

APART = ("make the server choose the session id context, or the ticket keys and the cache, by host name before it "
         "decides on resumption (in Python: pysidctx.HostMap)")


class Finding(NamedTuple):
    """One thing that an audit found."""

    check: str            # what was checked, for scripts
    where: Optional[Way]  # the version, and the way if the finding is about one way only; None: about all
    grade: str            # INFO, OK, NOTE or FAULT
    seen: str             # the observation; it may omit `name`, which the report adds
    why: str = ""         # why it matters; empty if the grade is OK or INFO
    do: str = ""          # what to do about it
    name: Optional[str] = None      # the server name that it is about; None: all, or no name was sent
    made_for: Optional[str] = None  # the name under which a session was established that was offered to `name`
    resumed: Optional[int] = None   # how many of the `tried` connections were resumed; None: not counted
    tried: Optional[int] = None
    bytes: Optional[int] = None     # the size of the ticket
    seconds: Optional[int] = None   # how long the ticket is valid; None: the server does not say

    def as_json(self) -> dict[str, object]:
        where = self.where
        return {**self._asdict(), "where": str(where or ""), "versions": [where.version] if where else [],
                "way": where.kind if where else None}


def findings(evidence: Evidence, options: Options) -> list[Finding]:
    made = [*trust(evidence), *own(evidence), *cut(options), *protocols(options), *versions(evidence)]
    made += [*renegotiation(evidence), *demands(evidence, options)]
    for way in sorted(evidence.returning, key=lambda way: way.version):
        made += [*resumption(way, evidence), *tickets(way, evidence)]
        made += [*names(way, evidence), *moves(way, evidence)]
    return made + [*without_sessions(evidence, options), *limits(evidence, options)]


def own(evidence: Evidence) -> Iterator[Finding]:
    if evidence.limited:
        yield Finding(
            "client", None, NOTE, f"openssl.cnf limits what this client offers: {', '.join(evidence.limited)}",
            "a server that requires something else seems to refuse connections",
            "run check with OPENSSL_CONF=/dev/null in the environment")


def trust(evidence: Evidence) -> Iterator[Finding]:
    for name, distrust in evidence.distrust.items():
        yield Finding(
            "certificate", None, NOTE, f"the certificate is not trusted for {name}: {distrust}",
            # Other clients may have a lower security level.
            ("clients with OpenSSL's security level 2 do not connect" if "too weak" in distrust
             else "clients that verify it do not connect") + "; the audit continues nevertheless",
            "give the server a valid certificate, or pass the CA that has issued it with --ca-file", name=name)


def cut(options: Options) -> Iterator[Finding]:
    if options.names_left:
        yield Finding(
            "limit", None, NOTE, f"the certificate has {options.names_left} more names, which are left out",
            "sessions may cross from or to these names", "pass each name that matters with --name")


def protocols(options: Options) -> Iterator[Finding]:
    if options.alpn_refused:
        refused = " and ".join(options.alpn_refused)
        yield Finding("alpn", None, INFO, f"{refused} are refused (ALPN): no protocol is offered")


def versions(evidence: Evidence) -> Iterator[Finding]:
    for version, hosts in evidence.hosts.items():
        for host in hosts:
            if host.lacks_version:
                yield Finding("version", Way(version), INFO, f"not offered ({host.seen.refusal})", name=host.name)


def renegotiation(evidence: Evidence) -> Iterator[Finding]:
    for version, hosts in evidence.hosts.items():
        for host in hosts:
            if host.answers and not host.seen.secure_renegotiation:
                yield Finding(
                    "renegotiation", Way(version), NOTE, "no secure renegotiation (RFC 5746)",
                    "an attacker can insert data before that of a client (CVE-2009-3555); clients with OpenSSL 3 do "
                    "not connect", "make the server support RFC 5746", host.name)


def demands(evidence: Evidence, options: Options) -> Iterator[Finding]:
    for version, hosts in evidence.hosts.items():
        for host in hosts:
            if not host.lacks_version:
                for finding in admission(Way(version), host, host.name in options.demanding):
                    yield finding._replace(name=host.name)


def admission(version: Way, host: AuditedHost, is_to_demand: bool) -> Iterator[Finding]:
    """Judge which clients a full handshake accepts."""
    name = host.name or "a connection without a server name"
    if is_to_demand and host.seen.admitted and not host.seen.asked:
        yield Finding(
            "client-certificate", version, FAULT,
            f"{name} accepts a client without a certificate, in a full handshake",
            "--demands says that it must reject such clients",
            "make sure that the requirement applies after the host was chosen: Python's ssl does not carry "
            "verify_mode over when sni_callback switches contexts (pysidctx.HostMap does). If the server requests "
            "the certificate only after the handshake, this audit cannot detect it: omit --demands for this name")
    elif is_to_demand and host.seen.admitted:
        yield Finding(
            "client-certificate", version, NOTE,
            f"{name} asks for a certificate, and completes the handshake without one",
            "it may refuse the client later, as nginx does, which the handshake does not show",
            "check how it answers a request from a client without a certificate")
    elif host.refuses_ours:
        assert host.with_certificate is not None
        yield Finding(
            "client-certificate", version, NOTE,
            f"{name} refuses the client's certificate: {host.with_certificate.refusal}",
            "the audit cannot tell whether sessions of this name are resumed",
            "pass a certificate that it accepts with --client-cert")
    elif host.demands:
        yield Finding("client-certificate", version, OK, f"{name} rejects clients without a certificate")
    elif host.seen.ours:
        yield Finding("handshake", version, NOTE, f"{name} cannot be looked at: {host.seen.refusal}",
                      "the audit cannot tell whether it resumes sessions; other clients may be able to connect",
                      "find out which message of the server OpenSSL rejects")
    elif not host.seen.admitted:
        yield Finding("handshake", version, NOTE, f"{name} is refused: {host.seen.refusal}",
                      "the audit cannot tell whether it resumes sessions",
                      "check whether the server knows the name, what its log says, and whether it expects another "
                      "application protocol (--alpn)")


def resumption(way: Way, evidence: Evidence) -> Iterator[Finding]:
    for key, found in evidence.returning[way].items():
        name = asked_for(key)
        if found is not None:
            spared = way.tickets is False and all_resume(evidence, Way(way.version, True), key)
            yield returned(way, found, spared, is_only_way(evidence, way, key))._replace(
                name=name, resumed=found.resumed, tried=found.visits)
        elif has_sessions(evidence, way.version, key):
            yield Finding("resumption", way, INFO, "not offered", name=name)
        elif way.tickets and all(  # report it once for each version
                key in evidence.returning.get(each, {}) for each in WAYS if each.version == way.version):
            yield Finding(
                "resumption", Way(way.version), NOTE, "no session can be resumed: none is offered",
                "every connection needs a full handshake", LATE_TICKETS if way.version == "TLS 1.3"
                else "enable session tickets with keys that all workers share, or a session cache (in Python: "
                "pysidctx.TicketKeys, pysidctx.SessionCache)", name=name)


def all_resume(evidence: Evidence, way: Way, key: str) -> bool:
    found = evidence.returning.get(way, {}).get(key)
    return found is not None and 0 < found.visits == found.resumed


def is_only_way(evidence: Evidence, way: Way, key: str) -> bool:
    """Whether this is by session id, and the server offers no tickets in its place."""
    by_ticket = evidence.returning.get(Way(way.version, True), {})
    return way.tickets is False and key in by_ticket and by_ticket[key] is None


def asked_for(key: str) -> Optional[str]:
    """Return the server name for a dictionary key, which is str(name)."""
    return None if key == str(None) else key


def has_sessions(evidence: Evidence, version: str, name: str) -> bool:
    """Whether the server offers sessions in any way, resumed or not."""
    found = [of_version.get(name) for way, of_version in evidence.returning.items() if way.version == version]
    return any(returning is not None and returning.visits for returning in found)


LATE_TICKETS = ("enable session tickets, with keys that all workers share. If they are enabled, the server may send "
                "them only with its first response, as servers with BoringSSL do: try --request")


def returned(way: Way, found: Returning, spared: bool = False, alone: bool = False) -> Finding:
    """Judge how many connections were resumed.

    If `spared`, all those with tickets were: few clients are affected. If `alone`, there are no tickets: all of them
    are affected.
    """
    if found.ended:
        return Finding(
            "resumption", way, NOTE, f"no session had come when {found.ended}",
            "the audit cannot tell whether the server offers sessions",
            "use the protocol that the server expects: pass it with --alpn, or send a request with --request; or "
            "increase --timeout")
    if not found.visits:
        return Finding("resumption", way, NOTE, f"could not be tried: {found.refusal}",
                       "the audit cannot tell whether it resumes sessions", "try again with a longer --delay")
    if found.refused:
        return refusing(way, found)
    seen = f"{found.resumed} of {found.visits} returning connections were resumed"
    if found.resumed == found.visits:
        return Finding("resumption", way, OK, seen)
    if spared:
        return Finding("resumption", way, OK,
                       f"{seen}; only clients without ticket support are affected, which are few")
    if found.resumed == 0:
        return Finding(
            "resumption", way, NOTE, seen,
            f"every returning client {'' if way.tickets or alone else 'without ticket support '}needs a full handshake",
            "check whether the server creates new ticket keys for each connection, worker or restart, or "
            "refuses sessions because of their id context" if way.tickets else CACHE_ALONE if alone else CACHE)
    return Finding(
        "resumption", way, NOTE, seen,
        "workers or machines behind this address do not share " + ("ticket keys" if way.tickets else "a session cache"),
        "give all of them the same ticket keys (in Python: pysidctx.TicketKeys)" if way.tickets
        else CACHE_ALONE if alone else CACHE)


def refusing(way: Way, found: Returning) -> Finding:
    """Judge a server that refuses returning clients instead of making a full handshake with them."""
    seen = (f"{found.refused} of {found.visits} returning connections were refused: {found.refusal}; "
            f"{found.resumed} were resumed")
    if found.locked_out:
        return Finding(
            "resumption", way, FAULT, seen, "clients that offer a session cannot connect",
            "read the server's log. A server with OpenSSL that verifies clients needs a session id context (in "
            "Python: pysidctx.set_session_id_context())")
    return Finding("resumption", way, NOTE, seen, "returning clients sometimes cannot connect",
                   "try again with a longer --delay, and read the server's log")


SHARE_CACHE = "share a session cache among all workers (in Python: pysidctx.SessionCache), or "
CACHE = f"{SHARE_CACHE}rely on tickets: only clients without ticket support are affected"
CACHE_ALONE = f"{SHARE_CACHE}issue tickets with keys that all of them share (in Python: pysidctx.TicketKeys)"


def tickets(way: Way, evidence: Evidence) -> Iterator[Finding]:
    for key, returning in evidence.returning[way].items():
        if returning and returning.tickets:
            ticket = returning.tickets[0]
            says = ticket.lifetime or way.version == "TLS 1.3"
            yield described(way, returning)._replace(
                name=asked_for(key), bytes=len(ticket.data), seconds=ticket.lifetime if says else None)


def described(way: Way, returning: Returning) -> Finding:
    ticket = returning.tickets[0]
    lifetime = (f"{ticket.lifetime} s" if ticket.lifetime or way.version == "TLS 1.3"
                else "as long as the server likes")
    names = ", which name sessions that the server stores," if len(ticket.data) <= MOST_NAME else ","
    seen = f"tickets of {len(ticket.data)} bytes{names} valid for {lifetime}"
    if returning.fresh is not None:
        seen += "; a fresh one on resumption" if returning.fresh else "; the same again on resumption"
    if way.version == "TLS 1.3" and not ticket.lifetime:
        return Finding("ticket", way, NOTE, seen, "clients discard it at once (RFC 8446, section 4.6.1)",
                       "increase the lifetime of sessions")
    if way.version == "TLS 1.3" and ticket.lifetime > WEEK:
        return Finding("ticket", way, NOTE, seen, "RFC 8446, section 4.6.1, allows at most seven days",
                       "reduce the lifetime of sessions")
    if way.version == "TLS 1.3" and returning.fresh is False:
        return Finding(
            "ticket", way, NOTE, seen,
            "a client that returns twice sends the same ticket, so observers can link its connections "
            "(RFC 8446, appendix C.4)", "make the server renew tickets on resumption")
    # Tickets that are never accepted deserve no OK: resumption() says what is wrong.
    return Finding("ticket", way, OK if returning.resumed else INFO, seen)


def names(way: Way, evidence: Evidence) -> Iterator[Finding]:
    hosts = {str(host.name): host for host in evidence.hosts[way.version]}
    for crossing in evidence.crossings.get(way, []):
        shown = evidence.certificates.get((way.version, crossing.offered), Counter())
        by_ticket = [each for each in evidence.crossings.get(Way(way.version, True), [])
                     if (each.made, each.offered, each.certified)
                     == (crossing.made, crossing.offered, crossing.certified)] if way.tickets is False else []
        yield carried(way, crossing, hosts[crossing.offered], shown, by_ticket)._replace(
            name=crossing.offered, made_for=crossing.made, resumed=int(crossing.seen is not None),
            tried=crossing.tries)


def without_sessions(evidence: Evidence, options: Options) -> Iterator[Finding]:
    """Report names that provided no session to offer to the other names."""
    if len(options.names) < 2 or evidence.unfinished:
        return
    offering = {crossing.made for found in evidence.crossings.values() for crossing in found}
    for name in options.names:
        shut = [host for hosts in evidence.hosts.values() for host in hosts if host.name == name and host.demands
                and not (host.with_certificate and host.with_certificate.admitted)]
        if shut and name not in offering:
            yield Finding(
                "names", None, NOTE, "made no session that could be offered to other names",
                "it requires a client certificate, so the audit cannot tell whether its sessions cross",
                "pass a certificate" + " that it accepts" * any(host.refuses_ours for host in shut)
                + " with --client-cert", name=name)


def is_apart(crossing: Crossing) -> bool:
    """Whether a session is certainly not resumed where it was offered."""
    return crossing.seen is None and not crossing.problem and crossing.at_home and crossing.luck < SURE


def carried(way: Way, crossing: Crossing, other: AuditedHost, shown: Shown,
            by_ticket: Sequence[Crossing] = ()) -> Finding:
    """Judge a session that was offered to another name, which has presented the certificates in `shown`.

    `by_ticket` has the sessions with tickets that were offered in the same way. Within a worker, the id context and
    the SSL_CTX that decide on tickets also decide on session ids.
    """
    spared = any(map(is_apart, by_ticket))
    if crossing.seen is not None:
        return judge(way, crossing, other, shown)
    if crossing.problem:
        return Finding(
            "names", way, NOTE,
            f"{session_of(crossing)} could not be offered to {crossing.offered}: {crossing.problem}",
            "the audit cannot tell whether it would be resumed there", "try again with a longer --delay")
    if is_apart(crossing):
        return Finding("names", way, OK, "not resumed under another name")
    if not crossing.at_home and (spared or any(each.at_home for each in by_ticket)):
        # Only if the tickets' result is certain, it holds for session ids, too.
        return Finding("names", way, OK if spared else INFO, "not resumed under another name, nor where it "
                       "was made: clients with tickets are, which tell more")
    if spared:
        return Finding(
            "names", way, OK,
            f"not resumed under another name in {crossing.tries} tries, nor by ticket, which tells more")
    if not crossing.at_home:
        return Finding(
            "names", way, NOTE, "no session was seen to be resumed under another name",
            "none was resumed under its own name either: if there are many workers, this says little",
            "allow more connections with --connections")
    return Finding(
        "names", way, NOTE, f"not resumed under another name, {by_luck(crossing)}",
        "workers or machines behind this address do not share ticket keys or a session cache, and the audit may have "
        "missed one that resumes the session", "allow more connections with --connections")


def by_luck(crossing: Crossing) -> str:
    return f"which may be luck: {crossing.tries} tries miss with a probability of up to {100 * crossing.luck:.2g}%"


def session_of(crossing: Crossing) -> str:
    return f"a session made for {crossing.made}{' with a certificate' if crossing.certified else ''}"


def judge(way: Way, crossing: Crossing, other: AuditedHost, shown: Shown) -> Finding:
    """Judge a session that was resumed under another name, which has presented the certificates in `shown`."""
    seen = f"{session_of(crossing)} is resumed for {crossing.offered}"
    if other.demands and (not crossing.certified or other.refuses_ours):
        return Finding(
            "client-certificate", way, FAULT,
            f"{seen}, which does not accept its client" if crossing.certified
            else f"{seen}, which rejects clients without a certificate",
            f"a client with a session of {crossing.made} bypasses the certificate check of {crossing.offered}", APART)
    if crossing.certificate is None or not shown or not (crossing.looked or crossing.certificate in shown):
        return Finding("names", way, NOTE, f"{seen}, whose certificate is not known",
                       "if it is another certificate, this is a fault", "try again")
    if crossing.certificate not in shown and unseen(shown) >= SURE:
        return Finding(
            "names", way, NOTE,
            f"{seen}, which has another certificate, and perhaps this one, too: it has shown {len(shown)}, and shows "
            f"one more with a probability of {100 * unseen(shown):.2g}%",
            "if it does not have this certificate, this is a fault",
            "audit a single machine: pass its address as HOST, and these names with --name")
    if crossing.certificate not in shown:
        return Finding(
            "names", way, FAULT, f"{seen}, which has another certificate",
            f"the client and the server of this session were authenticated for {crossing.made}; "
            "RFC 6066, section 3, forbids it", APART)
    if other.seen.asked:
        return Finding(
            "names", way, NOTE, f"{seen}, which asks for a client's certificate",
            f"it does not request one then: the client was authenticated for {crossing.made}, or not at all", APART)
    if way.version == "TLS 1.3":
        return Finding("names", way, OK, f"{seen}, which has the same certificate")
    return Finding(
        "names", way, NOTE, f"{seen}, which has the same certificate",
        "RFC 6066, section 3, forbids it; it does no harm if both names belong to one application", APART)


def moves(way: Way, evidence: Evidence) -> Iterator[Finding]:
    for move in evidence.moves.get(way, []):
        spared = way.tickets is False and any(
            each.seen is not None and (each.made, each.offered) == (move.made, move.offered)
            for each in evidence.moves.get(Way(way.version, True), []))
        yield moved(way, move, spared, is_only_way(evidence, way, move.made))._replace(
            name=asked_for(move.made), resumed=int(move.seen is not None), tried=move.tries)


def moved(way: Way, move: Crossing, spared: bool, alone: bool = False) -> Finding:
    """Judge a session that was offered on another address; `spared` and `alone` as for returned()."""
    if move.seen is not None:
        return Finding("address", way, OK, f"a session is resumed on {move.offered}, too")
    if move.problem:
        return Finding("address", way, NOTE, f"{move.offered} cannot be asked: {move.problem}",
                       "clients that return to this address have the same problem", "check whether a server runs there")
    seen = f"no session is resumed on {move.offered}"
    if spared:
        return Finding("address", way, OK, f"{seen}; only clients without ticket support are affected, which are few")
    return Finding(
        "address", way, NOTE,
        f"{seen}, {by_luck(move)}" if move.at_home and move.luck >= SURE else f"{seen} (tries: {move.tries})",
        f"clients {'' if way.tickets or alone else 'without ticket support '}that return to another machine need a "
        "full handshake",
        MACHINES if way.tickets else f"{MACHINES_CACHE}issue tickets: {MACHINES}" if alone
        else f"{MACHINES_CACHE}rely on tickets: only clients without ticket support are affected")


MACHINES = "give all machines the same ticket keys (in Python: TicketKeys.from_secret())"
MACHINES_CACHE = "share a session cache among all machines, or "


def limits(evidence: Evidence, options: Options) -> Iterator[Finding]:
    if evidence.unfinished:
        yield Finding("limit", None, NOTE, f"the audit ended early, after {evidence.unfinished}",
                      "the remaining checks were not made",
                      "pass fewer names, or allow more with --most-connections and --most-seconds")
    elif len(options.names) < 2 and any(has_sessions(evidence, way.version, name)
                                        for way, found in evidence.returning.items() for name in found):
        yield Finding("limit", None, NOTE, "only one name is known, so none was offered another's session",
                      "sessions that cross between names bypass the client verification of the other name",
                      "pass the server's other names with --name")
