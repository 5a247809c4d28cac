"""What connections tell about a server's resumption: they are made here, and judged in verdicts.py."""

import math
import time
from collections.abc import Callable
from itertools import permutations, product
from typing import NamedTuple, Optional

from pysidctx.cli.connection import VERSIONS, Client, Seen, Target, Ticket, visit
from pysidctx.session import Session

# How often, at least, a session may be offered that might be taken by one worker of several.
TRIES = 12
MISSED = 0.05  # how likely all tries may miss it


class Way(NamedTuple):
    """How a session is resumed."""

    version: str
    tickets: bool

    def __str__(self) -> str:
        if self.version == "TLS 1.3":
            return self.version
        return f"{self.version}, {'ticket' if self.tickets else 'session id'}"


WAYS = (Way("TLS 1.2", True), Way("TLS 1.2", False), Way("TLS 1.3", True))


class Options(NamedTuple):
    """What is asked of an audit."""

    names: tuple[str, ...]             # server names; none: no name is asked for
    addresses: tuple[str, ...] = ()    # other machines of the host
    demanding: frozenset[str] = frozenset()  # names that are to let in nobody without a certificate
    client_cert: Optional[str] = None  # a PEM file with chain and key
    ca_file: Optional[str] = None
    connections: int = 10              # for each way: of one client that comes back
    delay: float = 0.0                 # seconds between connections
    timeout: float = 5.0               # seconds for each
    most_connections: int = 500
    most_seconds: float = 60.0


class Host(NamedTuple):
    """A name under one version: who is let in, and what is shown."""

    name: Optional[str]
    seen: Seen                      # a full handshake without a client's certificate
    with_certificate: Optional[Seen]  # with one, where the server asks and one is at hand

    @property
    def demands(self) -> bool:
        """Whether nobody gets in without a certificate."""
        return not self.seen.admitted and (self.seen.asked or "certificate" in self.seen.refusal)

    @property
    def refuses_ours(self) -> bool:
        """Whether the certificate that is at hand is none to get in with."""
        return self.with_certificate is not None and not self.with_certificate.admitted

    @property
    def certificate(self) -> Optional[bytes]:
        return self.seen.certificate

    @property
    def answers(self) -> bool:
        """Whether there is anything to be told of its handshakes."""
        return self.seen.admitted or self.seen.certificate is not None

    @property
    def lacks_version(self) -> bool:
        return not self.answers and self.seen.refusal in NOT_OFFERED


# What is seen where a server does not have a version: its alert, or OpenSSL's words for another one.
NOT_OFFERED = ("alert protocol_version", "unsupported protocol", "wrong version number")


class Returning(NamedTuple):
    """A client that came back over and over."""

    visits: int             # after the first
    resumed: int
    tickets: list[Ticket]   # of the first visit
    fresh: Optional[bool]   # whether a resumed handshake brought other tickets; None: not known

    @property
    def share(self) -> float:
        return self.resumed / self.visits if self.visits else 0.0


class Crossing(NamedTuple):
    """A session made under one name, or on one address, and offered to another."""

    made: str
    offered: str
    tries: int               # that were answered
    seen: Optional[Seen]     # the connection that was resumed, if any was
    certified: bool          # made with a client's certificate
    at_home: bool            # whether so many tries would have been enough where it was made
    problem: str             # why it could not be tried


Found = dict[Way, dict[str, Optional[Returning]]]  # None: no session can be had that way


class Evidence(NamedTuple):
    """All that was seen."""

    hosts: dict[str, list[Host]]           # by version
    returning: Found                       # by name
    crossings: dict[Way, list[Crossing]]
    moves: dict[Way, list[Crossing]]       # to other addresses
    distrust: str
    unfinished: str                        # why it ended early
    connections: int
    seconds: float


class Exhausted(Exception):
    """As many connections, or as much time, as the audit may take."""


class Audit:
    """The connections of one audit, one after the other."""

    def __init__(self, target: Target, options: Options,
                 progress: Callable[[str], None] = lambda doing: None) -> None:
        self.target, self.options, self.progress = target, options, progress
        self.names: tuple[Optional[str], ...] = options.names or (None,)
        self.begun = time.monotonic()
        self.made = 0
        self.hosts: dict[str, list[Host]] = {}
        self.returning: Found = {}
        self.crossings: dict[Way, list[Crossing]] = {}
        self.moves: dict[Way, list[Crossing]] = {}

    def run(self) -> Evidence:
        distrust = unfinished = ""
        try:
            distrust = self.connect(Client(verify=True, ca_file=self.options.ca_file), self.names[0]).distrust
            self.look_at_hosts()
            self.come_back()
            self.cross()
            self.move()
        except Exhausted as error:
            unfinished = str(error)
        return Evidence(self.hosts, self.returning, self.crossings, self.moves, distrust, unfinished,
                        self.made, time.monotonic() - self.begun)

    def connect(self, client: Client, name: Optional[str], session: Optional[Session] = None,
                target: Optional[Target] = None) -> Seen:
        if self.made >= self.options.most_connections:
            raise Exhausted(f"{self.made} connections")
        delay = self.options.delay if self.made else 0.0
        if time.monotonic() + delay - self.begun > self.options.most_seconds:
            raise Exhausted(f"{self.options.most_seconds:g} seconds")
        time.sleep(delay)
        self.made += 1
        try:
            return visit(target or self.target, name, client._replace(timeout=self.options.timeout), session)
        except OSError as error:  # it cannot be reached any more
            return Seen(False, False, error.strerror or str(error), False, None, False, [], None, "")

    def look_at_hosts(self) -> None:
        for version in VERSIONS:
            self.progress(f"{version}: full handshakes")
            hosts = self.hosts[version] = []
            for name in self.names:
                hosts.append(self.look_at(version, name))
                if hosts[0].lacks_version:
                    break

    def look_at(self, version: str, name: Optional[str]) -> Host:
        client = Client(version)
        seen = self.connect(client, name)
        certified = None
        if seen.asked and self.options.client_cert:
            certified = self.connect(client._replace(certificate=self.options.client_cert), name)
        return Host(name, seen, certified)

    def clients_for(self, way: Way, host: Host) -> list[Client]:
        """Those that are let in: without a certificate, and with one if it asks for that."""
        client, tried = Client(way.version, way.tickets), host.with_certificate
        made = [client] if host.seen.admitted else []
        if tried is not None and tried.admitted:
            made.append(client._replace(certificate=self.options.client_cert))
        return made

    def come_back(self) -> None:
        for way in WAYS:
            found = self.returning.setdefault(way, {})
            for host in self.hosts[way.version]:
                for client in self.clients_for(way, host)[:1]:
                    self.progress(f"{way}: a client of {host.name} comes back")
                    found[str(host.name)] = self.returns(way, client, host.name)

    def returns(self, way: Way, client: Client, name: Optional[str]) -> Optional[Returning]:
        first = self.connect(client, name)
        session, fresh, resumed = first.session, None, 0
        if session is None or (way == WAYS[0] and not first.tickets):
            return None
        known = {ticket.data for ticket in first.tickets}
        for _ in range(self.options.connections - 1):
            seen = self.connect(client, name, session)
            if seen.resumed:
                resumed += 1
                fresh = bool(fresh) or any(ticket.data not in known for ticket in seen.tickets)
                known |= {ticket.data for ticket in seen.tickets}
                # Else the same again: where workers take turns, the one that made it will come.
                session = seen.session or session
        return Returning(self.options.connections - 1, resumed, first.tickets, fresh)

    def cross(self) -> None:
        for way, found in self.returning.items():
            crossings = self.crossings.setdefault(way, [])
            for made, offered in permutations(self.hosts[way.version], 2):
                returning = found.get(str(made.name))
                if returning is None or not offered.answers:
                    continue
                for client in self.clients_for(way, made):
                    self.progress(f"{way}: from {made.name} to {offered.name}")
                    crossings.append(self.carried(client, made.name, offered.name, returning.share))

    def move(self) -> None:
        for way, found in self.returning.items():
            moves = self.moves.setdefault(way, [])
            for host in self.hosts[way.version][:1]:
                returning = found.get(str(host.name))
                for address, client in product(self.options.addresses, self.clients_for(way, host)[:1]):
                    if returning is not None:
                        self.progress(f"{way}: to {address}")
                        moves.append(self.carried(client, host.name, host.name, returning.share,
                                                  self.target._replace(address=address)))

    def carried(self, client: Client, made: Optional[str], offered: Optional[str], share: float,
                target: Optional[Target] = None) -> Crossing:
        """Offer a session elsewhere, until it is taken."""
        first = self.connect(client, made)
        crossing = Crossing(str(made), target.address if target else str(offered), 0, None,
                            client.certificate is not None, share > 0, "")
        if first.session is None:
            return crossing._replace(problem=first.refusal or "no session was given")
        for _ in range(tries(share, self.options.connections)):
            # Without a certificate: the session has to do.
            seen = self.connect(client._replace(certificate=None), offered, first.session, target)
            if seen.heard:
                crossing = crossing._replace(tries=crossing.tries + 1, problem="")
            elif not crossing.tries:
                crossing = crossing._replace(problem=seen.refusal)
            if seen.resumed:
                return crossing._replace(seen=seen)
        return crossing


def tries(share: float, connections: int) -> int:
    """How many show whether a session is taken, if one worker in so many would take it."""
    most = max(TRIES, connections)
    if share in (0, 1):
        return 1 if share else most
    return min(most, math.ceil(math.log(MISSED) / math.log(1 - share)))
