"""A server whose connections a HostMap switches to the context of a host."""

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Optional

import pytest
import trustme
from handshakes import Pair, pair, shake

from pysidctx import Host, HostMap


class Servers:
    """A listener, and a context that one of its hosts has."""

    def __init__(self, make_server_ctx: Callable[..., ssl.SSLContext], make_client_ctx: Callable[..., ssl.SSLContext],
                 ca: trustme.CA, tmp_path: Path) -> None:
        self.make_server_ctx, self.make_client_ctx, self.ca = make_server_ctx, make_client_ctx, ca
        self.folder = tmp_path
        self.listener, self.host = make_server_ctx(), make_server_ctx()
        for ctx, name in ((self.listener, "listener.test"), (self.host, "host.test")):
            ca.issue_cert(name, key_type=trustme.KeyType.ECDSA).configure_cert(ctx)

    def client(self, version: Optional[ssl.TLSVersion] = None, **options: Any) -> ssl.SSLContext:
        return self.make_client_ctx(version, check_hostname=False, **options)

    def pair(self, client_ctx: Optional[ssl.SSLContext] = None, **options: Any) -> Pair:
        """The ends of a connection to the host."""
        # An id context is said: that of some contexts below cannot be derived.
        HostMap({"host.test": Host(self.host, b"host")}).install(self.listener)
        return pair(self.listener, client_ctx or self.client(), name="host.test", **options)

    def connect(self, client_ctx: Optional[ssl.SSLContext] = None) -> Pair:
        return shake(self.pair(client_ctx))

    def refuses(self, client_ctx: Optional[ssl.SSLContext] = None) -> bool:
        ends = self.pair(client_ctx)
        with pytest.raises(ssl.SSLError):
            shake(ends)
        return True

    def both_ways(self, setting: Callable[[ssl.SSLContext], object], client_ctx: Optional[ssl.SSLContext] = None
                  ) -> Iterator[Pair]:
        """Connections to the host: `setting` made on the host's context alone, and on the other alone."""
        setting(self.host)
        yield self.connect(client_ctx)
        self.host = self.make_server_ctx()
        setting(self.listener)
        yield self.connect(client_ctx)
