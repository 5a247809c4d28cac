"""The cases that are measured: a server, its certificate, the share of returning clients, and the results."""

from typing import NamedTuple

PLAIN, OURS, NGINX = "plain", "pysidctx", "nginx"
AGAIN = "the same again: the noise"
EACH, MAP = "an id context for each connection", "HostMap of a million"


class Kind(NamedTuple):
    """The certificates of servers and clients."""

    key: str
    client_certificate: bool = False
    client_key: str = ""  # where it differs

    def __str__(self) -> str:
        return " ".join((f"{self.key}, client" if self.client_certificate else self.key, self.client_key)).rstrip()


RSA = Kind("RSA-2048")


class Case(NamedTuple):
    server: str
    workers: int
    version: str
    returning: int  # percent of the connections
    kind: Kind = RSA

    def __str__(self) -> str:
        said = f"{self.server}, {self.workers}, {self.version}"
        return said if self.kind == RSA else f"{said}, {self.kind}"


class Turn(NamedTuple):
    """The results of one server's turn."""

    rate: float        # connections a second
    cpu: float         # us of the server for each
    generator: float   # the clients' share of all the CPU time
    offered: int
    resumed: int
    latencies: list[float]  # ms, of whole visits: connecting, handshake, answer, closing


Rounds = list[dict[str, Turn]]  # by the sides that were compared
