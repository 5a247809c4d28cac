"""Contexts that are built anew as soon as their files are, and how a server builds one."""

import ssl

import pytest

from pysidctx.servers.current_context import CurrentContext


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch):
    """Look at the files on each use, not only after so many seconds."""
    monkeypatch.setattr(CurrentContext, "LOOK", 0.0)


@pytest.fixture
def build(config):
    """What a server calls, with the configuration of the test, to build a context."""
    def building():
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(config.certfile)
        return ctx
    return building
