"""Listeners that choose by name in several ways, and the clients that come back to them."""

import random
import ssl

import trustme

from benchmarks import native
from benchmarks.handshakes.server_time import server_time
from benchmarks.handshakes.sides import SID_CTX, looked_up
from pysidctx import Host, HostMap

# The baseline has a servername callback: where there is none, OpenSSL looks for certificates that go
# with TLS 1.3, and that takes longer than what a map adds.
PLAIN = "no map, a servername callback in C that does nothing"
WITHOUT = "no map, no callback: plain ssl"
LOOKED_UP = "sni_callback: look-up in a dict"
SWITCHED = "sni_callback: look-up, and switch of context"


def in_map(names: int) -> str:
    return f"HostMap of {names:,}: id contexts"


def switched_in_map(names: int) -> str:
    return f"HostMap of {names:,}: contexts"


class Servers:
    """Listeners by what chooses for their connections."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self.name = native.load("hostmap_cython").name
        self.ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self.certificate = self.ca.issue_cert("example.org", key_type=trustme.KeyType.ECDSA)
        self.host = self.context()
        self.sizes = dict.fromkeys((PLAIN, WITHOUT, LOOKED_UP, SWITCHED), sizes[-1])
        self.listeners = {PLAIN: self.context(), WITHOUT: self.context()}
        native.load("hostmap_cython").set_servername_callback(self.listeners[PLAIN])
        self.maps: dict[str, HostMap] = {}
        for size in sizes:
            self.install(in_map(size), size, SID_CTX)
            self.install(switched_in_map(size), size, Host(self.host, SID_CTX))
        found = dict.fromkeys(map(self.name, range(sizes[-1])), self.host)
        self.listeners[LOOKED_UP] = self.with_callback(lambda server, name, ctx: looked_up(found, name))
        self.listeners[SWITCHED] = self.with_callback(
            lambda server, name, ctx: switch(found, server, name))

    def context(self) -> ssl.SSLContext:
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.certificate.configure_cert(ctx)
        return ctx

    def install(self, variant: str, size: int, served: "bytes | Host") -> None:
        self.sizes[variant] = size
        self.maps[variant] = HostMap(dict.fromkeys(map(self.name, range(size)), served))
        self.listeners[variant] = self.context()
        self.maps[variant].install(self.listeners[variant])

    def with_callback(self, callback: object) -> ssl.SSLContext:
        ctx = self.context()
        ctx.sni_callback = callback  # type: ignore[assignment]
        return ctx


def switch(found: dict[str, ssl.SSLContext], server: ssl.SSLObject, name: str) -> None:
    server.context = found[name]


class Clients:
    """A client's context for one version, with a session for each listener."""

    def __init__(self, servers: Servers, version: ssl.TLSVersion) -> None:
        self.servers = servers
        self.ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.ctx.minimum_version = self.ctx.maximum_version = version
        self.ctx.check_hostname = False
        servers.ca.configure_trust(self.ctx)
        self.sessions = {}
        for variant, listener in servers.listeners.items():
            _, client = server_time(listener, self.ctx, servers.name(0), None)
            self.sessions[variant] = client.session

    def added(self, groups: int, chance: random.Random) -> dict[str, list[int]]:
        """Return the nanoseconds above the baseline, for each side, from groups of handshakes in random order."""
        more: dict[str, list[int]] = {variant: [] for variant in self.sessions if variant != PLAIN}
        variants = list(self.sessions)
        for _ in range(groups):
            chance.shuffle(variants)
            taken = {}
            for variant in variants:
                name = self.servers.name(chance.randrange(self.servers.sizes[variant]))
                taken[variant], _ = server_time(self.servers.listeners[variant], self.ctx, name,
                                                self.sessions[variant])
            for variant, found in more.items():
                found.append(taken[variant] - taken[PLAIN])
        return more
