"""What the hook of a server logs about its contexts."""

import logging
import ssl
from types import SimpleNamespace

import pytest

from pysidctx import TicketKeys
from pysidctx.servers import SSLContextFactory


@pytest.fixture
def config(pem_files):
    return SimpleNamespace(certfile=str(pem_files[0]))


@pytest.fixture
def serve(config, caplog):
    """Calls the hook, as a server does for each connection, and returns what was logged meanwhile."""
    caplog.set_level(logging.INFO, "pysidctx")
    factory = SSLContextFactory(TicketKeys(), max_age=1000)

    def build():
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(config.certfile)
        return ctx

    def call():
        caplog.clear()
        factory(config, build)
        return [(record.name, record.levelname, record.getMessage()) for record in caplog.records]

    call.factory = factory
    assert call() == []
    return call


def append(path, data):
    with open(path, "ab") as file:
        file.write(data)


def test_a_context_is_rebuilt(serve, config):
    append(config.certfile, b"\n")
    assert serve() == [("pysidctx", "INFO", f"context rebuilt: {config.certfile} changed")]
    assert serve() == []


@pytest.fixture
def odd(pem_files, config, tmp_path):
    """Configure a certificate in a file whose name would end a line."""
    odd = tmp_path / "a\nCRITICAL root: b\x1b[2J.pem"
    odd.write_bytes(pem_files[0].read_bytes())
    config.certfile = str(odd)
    return odd


def test_the_name_of_a_file_cannot_write_lines(odd, serve):
    """Neither where the context is rebuilt nor where it cannot be."""
    for change in (lambda: append(odd, b"\n"), lambda: odd.write_bytes(b"")):
        change()
        ((_, _, message),) = serve()
        assert r"a\nCRITICAL root: b\x1b[2J.pem changed" in message and message.isprintable()


def test_a_context_is_rebuilt_because_of_its_age(serve, monkeypatch):
    ((_, current),) = serve.factory._contexts
    current._since -= 2000
    assert serve() == [("pysidctx", "INFO", "context rebuilt: the context is 1000 seconds old (max_age)")]


def test_a_context_is_rebuilt_because_of_its_settings(serve):
    ((_, current),) = serve.factory._contexts
    current._context.verify_mode = ssl.CERT_OPTIONAL
    assert serve() == [("pysidctx", "INFO", "context rebuilt: settings of the context were changed")]


def test_a_rebuild_fails_and_succeeds_later(serve, config, pem_files):
    whole = pem_files[0].read_bytes()
    pem_files[0].write_bytes(b"no certificate\n")
    ((name, level, message),) = serve()
    assert (name, level) == ("pysidctx", "WARNING")
    assert message.startswith(f"{config.certfile} changed, but the context cannot be rebuilt, so the previous context "
                              "stays in use: ")
    assert serve() == []
    pem_files[0].write_bytes(whole)
    assert serve() == [("pysidctx", "INFO", f"context rebuilt: {config.certfile} changed")]
