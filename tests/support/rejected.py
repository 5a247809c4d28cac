"""Clients whose server name is rejected, without a client: a listener is handed their ClientHello."""

import ssl
from contextlib import suppress
from pathlib import Path
from typing import Union

from client_hello import ClientHello, server_name

from pysidctx import HostMap


def hello() -> ClientHello:
    """Return what a client sends first."""
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    sent = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        ctx.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="a.test").do_handshake()
    return ClientHello.parse(sent.read())


class Rejecting:
    """A listener with a HostMap that rejects names."""

    def __init__(self, certificate: Union[str, Path]) -> None:
        self.ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ctx.load_cert_chain(certificate)
        self.hosts = HostMap({"a.test": b"a"})
        self.hosts.unmatched = "reject"
        self.hosts.install(self.ctx)
        self.hello = hello()

    def reject(self, *names: bytes) -> None:
        self.reject_extensions(*map(server_name, names))

    def reject_extensions(self, *data: bytes) -> None:
        """Each is the content of a server_name extension."""
        received = ssl.MemoryBIO()
        received.write(self.hello.with_server_names(*data).records())
        try:
            self.ctx.wrap_bio(received, ssl.MemoryBIO(), server_side=True).do_handshake()
        except ssl.SSLWantReadError:
            raise AssertionError("this name is not rejected") from None
        except ssl.SSLError:
            pass
