"""The clients of the demo, which return as fast as they can, and the results of their visits."""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Optional

from pysidctx.cli.cpu_time import cpu_time
from pysidctx.cli.demo.server import BANK, SHOP, TIMEOUT

CLIENTS = 8
ASTRAY = 8  # one in so many visits goes to the other host
REQUEST = b"GET / HTTP/1.0\r\n\r\n"


class Server(NamedTuple):
    port: int
    leader: int  # of its process group


class Counts:
    """The results of all visits so far."""

    def __init__(self) -> None:
        self.returned = self.resumed = 0       # to the host that the session is from
        self.astray = self.crossed = 0         # to the other host, and resumed there
        self.let_in = 0                        # there, without a client's certificate
        self.seconds = self.cpu = 0.0          # by the clock, and of the server on a processor

    @property
    def connections(self) -> int:
        return self.returned + self.astray

    @property
    def rate(self) -> float:
        return self.connections / self.seconds if self.seconds else 0.0

    def add(self, other: "Counts") -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


class Visitor:
    """A client that keeps its last session with one host.

    Without a certificate, that is the shop, and sometimes it goes astray to the bank. With one, it is the bank.
    """

    def __init__(self, port: int, version: ssl.TLSVersion, certificate: Optional[Path] = None) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # It is the servers that are to work here.
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        self.context.minimum_version = self.context.maximum_version = version
        self.host, self.strays = (SHOP, True) if certificate is None else (BANK, False)
        if certificate is not None:
            self.context.load_cert_chain(certificate)
        self.tls13 = version == ssl.TLSVersion.TLSv1_3
        self.port = port
        self.session: Optional[ssl.SSLSession] = None
        self.visits = 0

    def visit(self, name: str) -> bool:
        """Whether the session was resumed; OSError where the visitor is not let in."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT) as plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.context.wrap_socket(plain, server_hostname=name, session=self.session) as connection:
                connection.sendall(REQUEST)
                said = b"".join(iter(lambda: connection.recv(4096), b""))
                if b"200 OK" not in said:
                    raise ConnectionError("no answer")
                resumed = bool(connection.session_reused)
                if name == self.host and (not resumed or self.tls13):
                    self.session = connection.session
                with suppress(OSError):
                    connection.unwrap()
                return resumed

    def go_on(self, counts: Counts) -> None:
        self.visits += 1
        if self.visits % ASTRAY or not self.strays:
            counts.returned += 1
            counts.resumed += self.visit(self.host)
            return
        counts.astray += 1
        with suppress(OSError):
            counts.crossed += self.visit(BANK)
            counts.let_in += 1


class Crowd:
    """The visitors of one server: half of them with TLS 1.2, half with TLS 1.3."""

    def __init__(self, server: Server, certificate: Optional[Path] = None) -> None:
        self.leader = server.leader
        self.visitors = [
            Visitor(server.port, (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)[number % 2], certificate)
            for number in range(CLIENTS)]
        for visitor in self.visitors:
            visitor.visit(visitor.host)

    def turn(self, seconds: float, tell: Callable[[Counts], None]) -> Counts:
        """Visits in threads, for so long, each to both hosts at least; OSError for a server that fails."""
        begun, spent = time.monotonic(), cpu_time(self.leader)
        each = [Counts() for _ in self.visitors]
        failed: list[BaseException] = []

        def work(visitor: Visitor, counts: Counts) -> None:
            try:
                visitor.go_on(counts)
                while time.monotonic() < begun + seconds or visitor.visits % ASTRAY:
                    visitor.go_on(counts)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work, args=pair) for pair in zip(self.visitors, each)]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.1)
                tell(total(each, time.monotonic() - begun))
        if failed:
            raise failed[0]
        made = total(each, time.monotonic() - begun)
        made.cpu = cpu_time(self.leader) - spent
        return made


def total(each: list[Counts], seconds: float) -> Counts:
    made = Counts()
    for counts in each:
        made.add(counts)
    made.seconds = seconds
    return made
