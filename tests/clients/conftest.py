"""Clients whose sessions are kept, and what became of their handshakes."""

import ssl
import warnings

import handshakes
import pytest
from recipes import seeing

import pysidctx


@pytest.fixture
def sessions():
    return pysidctx.ClientSessions()


@pytest.fixture
def client(sessions, make_client_ctx):
    """A context without a client certificate, on which they are installed."""
    return sessions.install(make_client_ctx(certificate=False))


@pytest.fixture
def resumed():
    """Whether each of several connections was resumed."""

    def connect(server_ctx, client_ctx, rounds=1, **options):
        found = [handshakes.resumes(server_ctx, client_ctx, None, **options) for _ in range(rounds)]
        return found if rounds > 1 else found[0]

    return connect


@pytest.fixture
def seen(monkeypatch):
    """What the handshakes of all contexts are."""
    seen = seeing()
    monkeypatch.setattr(ssl.SSLContext, "sslsocket_class", seen.sslsocket_class)
    monkeypatch.setattr(ssl.SSLContext, "sslobject_class", seen.sslobject_class)
    return seen


@pytest.fixture
def never(resumed):
    """That a connection which could resume what `client_ctx` has made does not, and that the first context does."""

    def check(server_ctx, client_ctx, other_ctx, sessions, **options):
        assert resumed(server_ctx, client_ctx, 2) == [False, True]
        assert sessions.stats().sessions > 0
        offered = sessions.stats().offered
        assert not resumed(server_ctx, other_ctx, **options)
        assert sessions.stats().offered == offered
        assert resumed(server_ctx, client_ctx)

    return check


@pytest.fixture
def both_sides(ca):
    """Makes a context of PROTOCOL_TLS."""
    def make():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            ctx = ssl.SSLContext(ssl.PROTOCOL_TLS)
        ca.configure_trust(ctx)
        ctx.verify_mode = ssl.CERT_OPTIONAL
        return ctx

    return make


@pytest.fixture
def unverified():
    def make():
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ctx.check_hostname = False
        ctx.verify_mode = ssl.CERT_NONE
        return ctx

    return make
