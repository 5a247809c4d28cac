"""What is set on a returned context that wraps another one is set on the later ones' inner contexts."""

import ssl
from types import SimpleNamespace

import pytest
from tickets import visit

from pysidctx import HostMap, TicketKeys
from pysidctx.servers import SSLContextFactory


class Wrapping(ssl.SSLContext):
    """As truststore's: another context makes its connections."""

    def __init__(self, protocol):
        self.inner = ssl.SSLContext(protocol)

    def load_cert_chain(self, *arguments):
        self.inner.load_cert_chain(*arguments)

    def wrap_bio(self, *arguments, **options):
        return self.inner.wrap_bio(*arguments, **options)

    def wrap_socket(self, *arguments, **options):
        return self.inner.wrap_socket(*arguments, **options)


def test_a_host_map_and_keys(pem_files, make_server_ctx, make_client_ctx):
    def build():
        ctx = Wrapping(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(pem_files[0])
        return ctx

    keys = TicketKeys()
    hosts = HostMap({"a.test": make_server_ctx(verify=ssl.CERT_REQUIRED)})
    kept = SSLContextFactory(TicketKeys())(SimpleNamespace(certfile=str(pem_files[0])), build)
    hosts.install(kept)
    keys.install(kept)
    for _ in range(3):
        before = keys.stats()
        _, session = visit(kept, make_client_ctx())
        assert visit(kept, make_client_ctx(), session)[0]
        assert keys.stats().accepted > before.accepted
        with pytest.raises(ssl.SSLError):
            visit(kept, make_client_ctx(certificate=False))
        with open(pem_files[0], "ab") as file:
            file.write(b"\n")
