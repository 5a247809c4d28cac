"""What the client sessions of a context are worth while its own certificate is being loaded."""

import ssl
import threading

import handshakes
import pytest
import trustme
from cryptography.hazmat.primitives import serialization

import pysidctx

PATIENCE = 3  # seconds


@pytest.fixture
def server(make_server_ctx):
    ctx = make_server_ctx(verify=ssl.CERT_OPTIONAL)
    pysidctx.set_session_id_context(ctx, b"shop")
    return ctx


@pytest.fixture
def load(ca, tmp_path):
    """Loads a certificate into a context, and calls a function before its key is there."""
    issued = ca.issue_cert("client@a.test", key_type=trustme.KeyType.ECDSA)
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(certificate)
    key.write_bytes(serialization.load_pem_private_key(issued.private_key_pem.bytes(), None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"word")))

    def load_into(ctx, before):
        thread = threading.Thread(target=before)
        waiting = []

        def password():
            thread.start()
            thread.join(PATIENCE)
            waiting.append(thread.is_alive())
            return "word"

        ctx.load_cert_chain(certificate, key, password)
        thread.join()
        if any(waiting):
            pytest.skip("this CPython makes no connection with a context that loads a certificate")

    return load_into


def is_certified(server, ctx):
    ends = handshakes.connect(server, ctx)
    return ends.client.session_reused, bool(ends.server.getpeercert())


def test_a_handshake_before_the_key_is_there(version, server, make_client_ctx, load, sessions):
    """It sends no certificate, and what is known of the context then does not hold later."""
    client = sessions.install(make_client_ctx(version, certificate=False), share=True)
    without = sessions.install(make_client_ctx(version, certificate=False), share=True)
    load(client, lambda: handshakes.connect(server, client))
    sessions.clear()
    assert is_certified(server, client) == (False, True)
    assert is_certified(server, without) == (False, False)
    assert is_certified(server, client) == (True, True)
    assert is_certified(server, without) == (True, False)


def test_a_connection_that_was_made_before_the_key_is_there(version, server, make_client_ctx, load, sessions):
    client = sessions.install(make_client_ctx(version, certificate=False), share=True)
    early = []
    load(client, lambda: early.append(handshakes.pair(server, client)))
    ends = handshakes.shake(early[0])
    assert not ends.server.getpeercert()
    assert is_certified(server, client) == (False, True)
    assert is_certified(server, client) == (True, True)
