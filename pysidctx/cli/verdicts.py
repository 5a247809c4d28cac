"""From what an audit saw to what it means: findings, each graded, with a reason and an advice."""

from collections.abc import Iterator
from typing import NamedTuple, Optional

from pysidctx.cli.audit import Crossing, Evidence, Host, Options, Returning, Way

OK, NOTE, FAULT = "ok", "note", "fault"

WEEK = 7 * 24 * 3600  # RFC 8446, section 4.6.1

APART = ("have the server choose the session id context, or the keys and cache, by host name before it "
         "decides on resumption (in Python: pysidctx.HostMap)")


class Finding(NamedTuple):
    """One thing that an audit found."""

    check: str  # what was looked at, for scripts
    where: str  # the version and way
    grade: str  # OK, NOTE or FAULT
    seen: str
    why: str = ""  # it matters; empty where all is well
    do: str = ""


def findings(evidence: Evidence, options: Options) -> list[Finding]:
    made = [*trust(evidence), *versions(evidence), *demands(evidence, options)]
    for way in sorted(evidence.returning, key=lambda way: way.version):
        made += [*resumption(way, evidence), *tickets(way, evidence)]
        made += [*names(way, evidence), *moves(way, evidence)]
    return made + list(limits(evidence, options))


def trust(evidence: Evidence) -> Iterator[Finding]:
    if evidence.distrust:
        yield Finding(
            "certificate", "", NOTE, f"the certificate is not trusted: {evidence.distrust}",
            "clients that verify it do not connect; the audit looks at the server all the same",
            "give the server a valid certificate, or name the CA that it is from with --ca-file")


def versions(evidence: Evidence) -> Iterator[Finding]:
    for version, hosts in evidence.hosts.items():
        if hosts and hosts[0].lacks_version:
            yield Finding("version", version, OK, f"not offered ({hosts[0].seen.refusal})")


def demands(evidence: Evidence, options: Options) -> Iterator[Finding]:
    for version, hosts in evidence.hosts.items():
        for host in hosts:
            if not host.lacks_version:
                yield from admission(version, host, host.name in options.demanding)


def admission(version: str, host: Host, is_to_demand: bool) -> Iterator[Finding]:
    """Who is let in by a full handshake."""
    name = host.name or "a connection without a server name"
    if is_to_demand and host.seen.admitted and not host.seen.asked:
        yield Finding(
            "client-certificate", version, FAULT,
            f"{name} lets in a client without a certificate, in a full handshake",
            "it is to let in nobody without one",
            "see that its demand survives the choice of the host: Python's ssl leaves verify_mode "
            "behind when sni_callback switches contexts (pysidctx.HostMap carries it over)")
    elif is_to_demand and host.seen.admitted:
        yield Finding(
            "client-certificate", version, NOTE,
            f"{name} asks for a certificate, and completes the handshake without one",
            "it may refuse later, as nginx does, which the handshake does not show",
            "see what it answers to a request without a certificate")
    elif host.refuses_ours:
        assert host.with_certificate is not None
        yield Finding(
            "client-certificate", version, NOTE,
            f"{name} refuses the client's certificate: {host.with_certificate.refusal}",
            "whether its own sessions are resumed cannot be told",
            "name one with --client-cert that it accepts")
    elif host.demands:
        yield Finding("client-certificate", version, OK, f"{name} lets in nobody without a certificate")
    elif not host.seen.admitted:
        yield Finding("handshake", version, NOTE, f"{name} is refused: {host.seen.refusal}",
                      "nothing can be told of its resumption",
                      "see whether the server knows the name, and what its log says")


def resumption(way: Way, evidence: Evidence) -> Iterator[Finding]:
    """Hosts of which the same is to be said are told together."""
    found = evidence.returning[way]
    groups: dict[Optional[tuple[int, int]], list[str]] = {}
    for name, returning in found.items():
        groups.setdefault(returning and (returning.resumed, returning.visits), []).append(name)
    for count, hosts in groups.items():
        prefix = f"{', '.join(hosts)}: " if len(groups) > 1 else ""
        if count is not None:
            yield counted(way, *count, prefix)
        elif any(of_version.get(name) for other, of_version in evidence.returning.items()
                 for name in hosts if other.version == way.version):
            yield Finding("resumption", str(way), OK, f"{prefix}not offered")
        elif way.tickets:  # said once a version
            yield Finding(
                "resumption", way.version, NOTE, f"{prefix}no session can be resumed: none is offered",
                "every client pays for a full handshake each time",
                "switch on session tickets, with keys that all workers share, or a session cache")


def counted(way: Way, resumed: int, visits: int, prefix: str) -> Finding:
    seen = f"{prefix}{resumed} of {visits} returning connections were resumed"
    if resumed == visits:
        return Finding("resumption", str(way), OK, seen)
    if resumed == 0:
        return Finding(
            "resumption", str(way), NOTE, seen, "every client that comes back pays for a full handshake",
            "see whether the server makes ticket keys anew for each connection, worker or restart, or "
            "refuses them for their id context" if way.tickets else CACHE)
    return Finding(
        "resumption", str(way), NOTE, seen,
        "workers or machines behind this address do not share what resumption needs",
        "give all of them the same ticket keys (in Python: pysidctx.TicketKeys)" if way.tickets else CACHE)


CACHE = ("share a session cache among all workers, or leave it to tickets: only clients that take none are "
         "concerned")


def tickets(way: Way, evidence: Evidence) -> Iterator[Finding]:
    """Those of the first host that has any."""
    found = [returning for returning in evidence.returning[way].values() if returning and returning.tickets]
    if found:
        yield described(way, found[0])


def described(way: Way, returning: Returning) -> Finding:
    ticket = returning.tickets[0]
    lifetime = f"{ticket.lifetime} s" if ticket.lifetime else "as long as the server likes"
    seen = f"tickets of {len(ticket.data)} bytes, valid for {lifetime}"
    if returning.fresh is not None:
        seen += "; a fresh one on resumption" if returning.fresh else "; the same again on resumption"
    if way.version == "TLS 1.3" and ticket.lifetime > WEEK:
        return Finding("ticket", str(way), NOTE, seen, "RFC 8446, section 4.6.1, allows seven days",
                       "shorten the lifetime of sessions")
    if way.version == "TLS 1.3" and returning.fresh is False:
        return Finding(
            "ticket", str(way), NOTE, seen,
            "who comes back twice shows the same ticket, and so onlookers can tell that it is the same client "
            "(RFC 8446, appendix C.4)", "have the server renew tickets on resumption")
    return Finding("ticket", str(way), OK, seen)


def names(way: Way, evidence: Evidence) -> Iterator[Finding]:
    hosts = {str(host.name): host for host in evidence.hosts[way.version]}
    crossings = evidence.crossings.get(way, [])
    yield from (judge(way, crossing, hosts) for crossing in crossings if crossing.seen is not None)
    left = [crossing for crossing in crossings if crossing.seen is None]
    for crossing in left:
        if crossing.problem:
            yield Finding(
                "names", str(way), NOTE,
                f"{told(crossing)} could not be offered to {crossing.offered}: {crossing.problem}",
                "whether it would be resumed there is not known", "try again, more gently (--delay)")
    unsure = [crossing for crossing in left if not crossing.problem and not crossing.at_home]
    if unsure:
        yield Finding(
            "names", str(way), NOTE, f"no session was seen to be resumed under another name: {pairs(unsure)}",
            "none was where it was made, either: with many workers, too few tries say nothing",
            "allow more with --connections")
    apart = [crossing for crossing in left if not crossing.problem and crossing.at_home]
    if apart:
        yield Finding("names", str(way), OK, f"not resumed under another name: {pairs(apart)}")


def pairs(crossings: list[Crossing]) -> str:
    return ", ".join(dict.fromkeys(f"{crossing.made} > {crossing.offered}" for crossing in crossings))


def told(crossing: Crossing) -> str:
    return f"a session made for {crossing.made}{' with a certificate' if crossing.certified else ''}"


def judge(way: Way, crossing: Crossing, hosts: dict[str, Host]) -> Finding:
    """What a session means that was resumed under another name."""
    seen = f"{told(crossing)} is resumed for {crossing.offered}"
    made, other = hosts[crossing.made], hosts[crossing.offered]
    if other.demands and (not crossing.certified or other.refuses_ours):
        return Finding(
            "client-certificate", str(way), FAULT,
            f"{seen}, which does not accept its client" if crossing.certified
            else f"{seen}, which lets in nobody without a certificate",
            f"whoever has visited {crossing.made} gets past what {crossing.offered} demands", APART)
    if made.certificate is None or other.certificate is None:
        return Finding("names", str(way), NOTE, f"{seen}, whose certificate is not known",
                       "if it is another one, that is a fault", "try again")
    if made.certificate != other.certificate:
        return Finding(
            "names", str(way), FAULT, f"{seen}, which has another certificate",
            f"what the session says of its client and its server was agreed with {crossing.made}; "
            "RFC 6066, section 3, forbids it", APART)
    if other.seen.asked:
        return Finding(
            "names", str(way), NOTE, f"{seen}, which asks for a client's certificate",
            f"it asks for none then: who its client is was settled with {crossing.made}", APART)
    if way.version == "TLS 1.3":
        return Finding("names", str(way), OK, f"{seen}, which has the same certificate")
    return Finding(
        "names", str(way), NOTE, f"{seen}, which has the same certificate",
        "RFC 6066, section 3, forbids it; where the two names are one application it does no harm", APART)


def moves(way: Way, evidence: Evidence) -> Iterator[Finding]:
    for move in evidence.moves.get(way, []):
        if move.seen is not None:
            yield Finding("address", str(way), OK, f"a session is resumed on {move.offered}, too")
        elif move.problem:
            yield Finding("address", str(way), NOTE, f"{move.offered} cannot be asked: {move.problem}",
                          "clients that come back to it meet the same", "see whether a server runs there")
        else:
            yield Finding(
                "address", str(way), NOTE, f"no session is resumed on {move.offered} (tries: {move.tries})",
                "clients that come back to another machine pay for a full handshake",
                "give all machines the same ticket keys (in Python: TicketKeys.from_secret())"
                if way.tickets else CACHE)


def limits(evidence: Evidence, options: Options) -> Iterator[Finding]:
    if evidence.unfinished:
        yield Finding("limit", "", NOTE, f"the audit ended early, after {evidence.unfinished}",
                      "what comes later in it was not looked at",
                      "name fewer names, or allow more with --most-connections and --most-seconds")
    elif len(options.names) < 2 and any(any(found.values()) for found in evidence.returning.values()):
        yield Finding("names", "", NOTE, "only one name is known, so none was offered another's session",
                      "sessions that cross from name to name pass by what the other name demands",
                      "name the server's other names with --name")
