"""Consumers of the modules of pysidctx.cache, and servers' sessions to store."""

import ssl
from contextlib import contextmanager

import libssl
import pytest
from consumers import build, load
from handshakes import connect


@pytest.fixture(scope="session")
def consumer(tmp_path_factory):
    """Builds a module for tests from one of their sources."""
    def make(name):
        folder = tmp_path_factory.mktemp("consumer")
        build(folder, f"{name}.pyx", inner=True)
        return load(folder, name)

    return make


@pytest.fixture(scope="session")
def cache(consumer):
    return consumer("from_cache")


@pytest.fixture(scope="session")
def stores(consumer):
    return consumer("from_store")


@pytest.fixture
def make_stored(make_server_ctx, make_client_ctx):
    """Makes a server's connection, without tickets, and its session. Both are there until the test has ended."""
    kept = []

    def make(version, *, certificate=True, named=True, protocol="h2", client_ctx=None):
        server_ctx = make_server_ctx(verify=ssl.CERT_OPTIONAL, tickets=False)
        client_ctx = client_ctx or make_client_ctx(certificate=certificate)
        client_ctx.minimum_version = client_ctx.maximum_version = version
        if named:
            server_ctx.sni_callback = lambda *arguments: None  # acknowledges names
        if protocol is not None:
            server_ctx.set_alpn_protocols([protocol])
            client_ctx.set_alpn_protocols([protocol])
        server = connect(server_ctx, client_ctx).server
        kept.append(server)
        return server, libssl.SSL_get_session(libssl.pointer(server))

    return make


@pytest.fixture
def duplicate():
    """A context manager: the duplicate of a template, and the digest of its peer."""

    @contextmanager
    def duplicating(table, key):
        copy, peer = table.duplicate(key)
        try:
            yield copy, peer
        finally:
            libssl.SSL_SESSION_free(copy)

    return duplicating
