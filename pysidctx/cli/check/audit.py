"""Connect to a server and record how it resumes sessions. verdicts.py judges the observations."""

import math
import time
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from itertools import permutations, product
from typing import NamedTuple, Optional

from pysidctx import Session
from pysidctx.cli.check.client import VERSIONS, Client, limits
from pysidctx.cli.check.connection import NOT_OFFERED, Seen, Target, visit
from pysidctx.cli.check.messages import Ticket

# How often, at least, to offer a session that only one of several workers may accept; and how often if it was not
# resumed even under its own name, because further tries would reveal little.
TRIES = 12
FEW_TRIES = 4
SURE = 0.001  # a result counts as certain if its probability of being due to chance is at most this
LOADS = [percent / 100 for percent in range(5, 100)]  # possible shares of all connections that one worker gets
ALL_COUNTS = 1.5  # the probability of chance over all counts, relative to that for the likeliest counts
# Further handshakes with a name that seems to have another certificate: if several machines serve the name, only one
# of them may have it.
LOOKS = 6


class Way(NamedTuple):
    """How a session is resumed."""

    version: str
    tickets: Optional[bool] = None  # False: by session id; None: unspecified

    @property
    def kind(self) -> Optional[str]:
        return None if self.tickets is None else "ticket" if self.tickets else "session id"

    def __str__(self) -> str:
        if self.version == "TLS 1.3" or self.kind is None:
            return self.version
        return f"{self.version}, {self.kind}"


# The way that clients rarely use comes last, because an audit may end early.
WAYS = (Way("TLS 1.2", True), Way("TLS 1.3", True), Way("TLS 1.2", False))


class Options(NamedTuple):
    """The options of an audit."""

    names: tuple[str, ...]             # server names; if empty, no name is sent
    addresses: tuple[str, ...] = ()    # addresses of other machines
    demanding: frozenset[str] = frozenset()  # names that must reject clients without a certificate
    verified: tuple[str, ...] = ()     # names, or an address, for which the certificate must be valid
    names_left: int = 0                # how many names of the certificate are not audited
    client_cert: Optional[str] = None  # a PEM file with chain and key
    ca_file: Optional[str] = None
    connections: int = 10              # connections of one returning client, for each way
    delay: float = 0.0                 # seconds between connections
    timeout: float = 5.0               # seconds for each connection
    request: bool = False              # send an HTTP request in TLS 1.3
    alpn: tuple[str, ...] = ()         # application protocols to offer
    starttls: str = ""                 # the protocol that switches to TLS; empty: TLS from the beginning
    alpn_refused: tuple[str, ...] = ()  # protocols that are not offered, because the server refuses them
    most_connections: int = 1000
    most_seconds: float = 60.0
    least_share: Optional[float] = None  # a smaller share of resumed returning connections is a fault


class AuditedHost(NamedTuple):
    """The handshakes with one name in one TLS version."""

    name: Optional[str]
    seen: Seen                      # a full handshake without a client's certificate
    with_certificate: Optional[Seen]  # one with a certificate, if the server requests one and the options have one
    chooses_less: bool = False      # whether the server chooses an older version if both are offered

    @property
    def demands(self) -> bool:
        """Whether the server rejects clients without a certificate."""
        return not self.seen.admitted and (self.seen.asked or "certificate" in self.seen.refusal)

    @property
    def refuses_ours(self) -> bool:
        """Whether the server rejects the certificate of the options."""
        return self.with_certificate is not None and not self.with_certificate.admitted

    @property
    def certificate(self) -> Optional[bytes]:
        return self.seen.certificate

    @property
    def answers(self) -> bool:
        """Whether the server has completed a handshake or sent a certificate."""
        return self.seen.admitted or self.seen.certificate is not None

    @property
    def lacks_version(self) -> bool:
        return not self.answers and (self.seen.refusal in NOT_OFFERED or self.chooses_less)


class Returning(NamedTuple):
    """The results of a client that returned several times."""

    visits: int             # connections after the first
    resumed: int = 0
    refused: int = 0
    refusal: str = ""       # the reason for the last refusal, or for a failure of the first connection
    locked_out: bool = False  # all connections with a session were refused by alerts, but not those without one
    tickets: tuple[Ticket, ...] = ()  # tickets of the first connection
    fresh: Optional[bool] = None      # whether a resumed handshake brought new tickets; None: unknown
    ended: str = ""                   # the reason why the first connection ended without a session

    @property
    def answered(self) -> int:
        """Return how many connections were accepted."""
        return self.visits - self.refused

    @property
    def share(self) -> float:
        """Return the share of resumed connections among the accepted ones."""
        return self.resumed / self.answered if self.answered else 0.0


class Crossing(NamedTuple):
    """A session that was established with one name or address and offered to another."""

    made: str
    offered: str
    tries: int               # answered connections, each with a new session
    seen: Optional[Seen]     # the connection that was resumed, if any was
    certified: bool          # whether it was established with a client certificate
    certificate: Optional[bytes]  # the server's certificate when it was established
    at_home: bool            # whether any session was resumed by the name or address that issued it
    problem: str             # why it could not be offered
    looked: bool = False     # whether more certificates of the other name were fetched
    resumed: int = 0         # how many connections are resumed where such sessions are resumed
    answered: int = 0        # out of how many

    @property
    def luck(self) -> float:
        """Return the probability that no try was resumed merely by chance."""
        return luck(self.resumed, self.answered, self.tries)


Shown = Counter[bytes]  # the certificates of a name, and how often it has presented each
Found = dict[Way, dict[str, Optional[Returning]]]  # None: the server offers no session in this way


class Evidence(NamedTuple):
    """All observations of an audit."""

    hosts: dict[str, list[AuditedHost]]           # by version
    returning: Found                       # by name
    crossings: dict[Way, list[Crossing]]
    moves: dict[Way, list[Crossing]]       # to other addresses
    certificates: dict[tuple[str, str], Shown]  # by version and name
    distrust: dict[str, str]               # why the certificate is not trusted, by name
    unfinished: str                        # why it ended early
    connections: int
    seconds: float
    limited: tuple[str, ...] = ()          # of this client, by openssl.cnf


class Exhausted(Exception):
    """The limit of connections or of time was reached."""


class Audit:
    """Makes the connections of one audit, one after the other."""

    def __init__(self, target: Target, options: Options,
                 progress: Callable[[str], None] = lambda doing: None, *, made: int = 0,
                 begun: Optional[float] = None) -> None:
        """`made` and `begun` include the connections and the time that were needed to find the server."""
        self.target, self.options, self.progress = target, options, progress
        self.names: tuple[Optional[str], ...] = options.names or (None,)
        self.begun = time.monotonic() if begun is None else begun
        self.made = made
        self.certificates: dict[tuple[str, str], Shown] = {}
        self.distrust: dict[str, str] = {}
        self.hosts: dict[str, list[AuditedHost]] = {}
        self.returning: Found = {}
        self.crossings: dict[Way, list[Crossing]] = {}
        self.moves: dict[Way, list[Crossing]] = {}

    def run(self) -> Evidence:
        unfinished = ""
        try:
            for name in self.options.verified:
                seen = self.connect(Client(verify=True, ca_file=self.options.ca_file), name)
                if seen.distrust:
                    self.distrust[name] = seen.distrust
            self.look_at_hosts()
            for way in WAYS:  # complete one before the next
                self.come_back(way)
                self.cross(way)
                self.move(way)
        except Exhausted as error:
            unfinished = str(error)
        return Evidence(self.hosts, self.returning, self.crossings, self.moves, self.certificates,
                        self.distrust, unfinished, self.made, time.monotonic() - self.begun,
                        tuple(limits()))

    def connect(self, client: Client, name: Optional[str], session: Optional[Session] = None,
                target: Optional[Target] = None) -> Seen:
        if self.made >= self.options.most_connections:
            raise Exhausted(f"{self.made} connections")
        delay = self.options.delay if self.made else 0.0
        if time.monotonic() + delay - self.begun > self.options.most_seconds:
            raise Exhausted(f"{self.options.most_seconds:g} seconds")
        time.sleep(delay)
        self.made += 1
        client = client._replace(timeout=self.options.timeout, request=self.options.request,
                                 alpn=self.options.alpn, starttls=self.options.starttls)
        try:
            seen = visit(target or self.target, name, client, session)
        except OSError as error:  # the server can no longer be reached
            return Seen(False, False, error.strerror or str(error), False, None, False, [], None, "")
        if seen.certificate is not None and client.version is not None and target is None:
            self.certificates.setdefault((client.version, str(name)), Counter())[seen.certificate] += 1
        return seen

    def connect_twice(self, client: Client, name: Optional[str]) -> Seen:
        """Make a full handshake. If it breaks off, try again once, because that may be accidental."""
        seen = self.connect(client, name)
        if (seen.admitted and not seen.ended) or seen.ours or seen.refusal.startswith("alert "):
            return seen
        return self.connect(client, name)

    def look_at_hosts(self) -> None:
        for version in VERSIONS:
            self.progress(f"{version}: full handshakes")
            self.hosts[version] = []
            for name in self.names:
                self.hosts[version].append(self.look_at(version, name))

    def look_at(self, version: str, name: Optional[str]) -> AuditedHost:
        client = Client(version)
        seen = self.connect_twice(client, name)
        certified = None
        if seen.asked and self.options.client_cert:
            certified = self.connect_twice(client._replace(certificate=self.options.client_cert), name)
        less = False
        if version == "TLS 1.3" and seen.refusal.startswith("alert ") and not seen.certificate:
            less = self.connect(Client(), name).version == "TLSv1.2"  # some send other alerts if they lack TLS 1.3
        return AuditedHost(name, seen, certified, less)

    def clients_for(self, way: Way, host: AuditedHost) -> list[Client]:
        """Return the clients that the server accepts: without a certificate, and with one if that is requested."""
        client, tried = Client(way.version, way.tickets is not False), host.with_certificate
        made = [client] if host.seen.admitted else []
        if tried is not None and tried.admitted:
            made.append(client._replace(certificate=self.options.client_cert))
        return made

    def come_back(self, way: Way) -> None:
        found = self.returning.setdefault(way, {})
        for host in self.hosts[way.version]:
            for client in self.clients_for(way, host)[:1]:
                self.progress(f"{way}: a client of {host.name} comes back")
                found[str(host.name)] = self.returns(way, client, host.name)

    def returns(self, way: Way, client: Client, name: Optional[str]) -> Optional[Returning]:
        first = self.connect_twice(client, name)
        session, fresh, resumed = first.session, None, 0
        if not first.admitted:
            return Returning(0, refusal=first.refusal)
        if session is None or (way.tickets and not first.tickets):
            return Returning(0, ended=first.ended) if first.ended else None
        known = {ticket.data for ticket in first.tickets}
        refusals = []
        for _ in range(self.options.connections - 1):
            seen = self.connect(client, name, session)
            if not seen.admitted:
                refusals.append(seen.refusal)
            if seen.resumed:
                resumed += 1
                if not seen.ended:
                    fresh = bool(fresh) or any(ticket.data not in known for ticket in seen.tickets)
                    client = client._replace(brief=not seen.tickets)  # they do not come: that was seen
                known |= {ticket.data for ticket in seen.tickets}
                # Else the same again: where workers take turns, the one that made it will come.
                session = seen.session or session
        return Returning(
            self.options.connections - 1, resumed, len(refusals), refusals[-1] if refusals else "",
            self.locks_out(client, name, refusals), tuple(first.tickets), fresh)

    def locks_out(self, client: Client, name: Optional[str], refusals: list[str]) -> bool:
        """Whether clients are refused because of the session. A single refusal does not prove it."""
        return (len(refusals) == self.options.connections - 1 > 1
                and all(refusal.startswith("alert ") for refusal in refusals)
                and self.connect_twice(client, name).admitted)

    def cross(self, way: Way) -> None:
        found, crossings = self.returning[way], self.crossings.setdefault(way, [])
        for made, offered in permutations(self.hosts[way.version], 2):
            returning, there = found.get(str(made.name)), found.get(str(offered.name))
            if returning is None or returning.ended or not offered.answers:
                continue
            for client in self.clients_for(way, made):
                self.progress(f"{way}: from {made.name} to {offered.name}")
                # What the other's workers share is not known where they resume nothing of their own.
                usual = min(returning, there, key=lambda each: each.share) if there and there.resumed else returning
                much = offered.demands or there is None or there.resumed == 0 < returning.resumed
                crossing = self.carried(client, made.name, offered, usual, much, returning.share > 0)
                crossings.append(crossing)
                if crossing.seen is not None and (client.certificate or not offered.demands):
                    self.look_for(crossing.certificate, client, offered.name)
                    crossings[-1] = crossing._replace(looked=True)

    def look_for(self, certificate: Optional[bytes], client: Client, name: Optional[str]) -> None:
        """Whether the certificate with which a session was established is also one of another name."""
        seen = self.certificates.setdefault((str(client.version), str(name)), Counter())
        for _ in range(LOOKS):
            if certificate is None or certificate in seen:
                return
            self.connect(client._replace(certificate=None), name)

    def move(self, way: Way) -> None:
        found, moves = self.returning[way], self.moves.setdefault(way, [])
        for host in self.hosts[way.version][:1]:
            returning = found.get(str(host.name))
            for address, client in product(self.options.addresses, self.clients_for(way, host)[:1]):
                if returning is not None and not returning.ended:
                    self.progress(f"{way}: to {address}")
                    moves.append(self.carried(client, host.name, host, returning, False, returning.share > 0,
                                              self.target._replace(address=address)))

    def carried(self, client: Client, made: Optional[str], offered: AuditedHost, usual: Returning, much: bool,
                at_home: bool, target: Optional[Target] = None) -> Crossing:
        """Offer sessions elsewhere until one is resumed, or until a miss by chance is improbable, given `usual`.

        If `much` is true, try as often as the limits allow.
        """
        most = max(TRIES, self.options.connections)
        wanted = most if much else tries(usual.resumed, usual.answered, most)
        first = self.connect_twice(client, made)
        crossing = Crossing(str(made), target.address if target else str(offered.name), 0, None,
                            client.certificate is not None, first.certificate, at_home, "",
                            resumed=usual.resumed, answered=usual.answered)
        session = first.session
        if session is None:
            return crossing._replace(problem=first.refusal or "no session was given")
        # A full handshake is an answer, and so is the refusal that always ends one there. Another failure may have
        # occurred before the session was examined; but if the same alert comes again, it is an answer.
        answers, silent = {"" if offered.seen.admitted else offered.seen.refusal}, 0
        # If workers take turns, the one that issued a session is reached again after the others, so the last session
        # is reused.
        last = 2 * wanted if usual.resumed < usual.answered else wanted
        for number in range(1, last + 3):
            if number > 1 and crossing.tries < wanted:  # new sessions, in case the first worker is rarely reached
                again = self.connect(client, made)
                if again.session is not None:
                    session, crossing = again.session, crossing._replace(certificate=again.certificate)
            # No certificate is sent, so only the session can authenticate the client.
            seen = self.connect(client._replace(certificate=None), offered.name, session, target)
            if seen.resumed:
                return crossing._replace(seen=seen, tries=crossing.tries + 1, problem="")
            if seen.admitted or (seen.heard and seen.refusal in answers):
                crossing = crossing._replace(tries=min(crossing.tries + 1, wanted), problem="")
            elif not crossing.tries:
                crossing = crossing._replace(problem=seen.refusal)
            if seen.refusal.startswith("alert ") and target is None:
                answers.add(seen.refusal)
            silent += not seen.heard
            if silent == 2 or (crossing.tries == wanted and number >= last):
                break
        return crossing


@lru_cache(None)
def luck(resumed: int, answered: int, misses: int) -> float:
    """Return an upper bound for the probability of these counts, followed by `misses`, due to chance alone.

    It assumes workers that share nothing and that would resume a session of any name. `resumed` of `answered`
    connections offered sessions of one worker; each miss offered a session of the worker that issued it. The worst
    case is a few equally loaded workers beside many with hardly any load, so these loads are tried.
    """
    if not resumed:
        return 1.0
    return min(1.0, ALL_COUNTS * max(
        workers * load * math.comb(answered, resumed) * load**resumed * (1 - load)**(answered - resumed)
        * (1 - workers * load**2)**misses
        for load in LOADS for workers in range(1, int(1 / load) + 1)))


def unseen(shown: Shown) -> float:
    """Return the probability that the next certificate is a new one: the Good-Turing estimate."""
    return sum(times == 1 for times in shown.values()) / sum(shown.values()) if shown else 1.0


def tries(resumed: int, answered: int, most: int) -> int:
    """Return after how many misses chance is improbable, for sessions that are resumed so often."""
    if not resumed:
        return FEW_TRIES
    return next((misses for misses in range(2, most) if luck(resumed, answered, misses) < SURE), most)
