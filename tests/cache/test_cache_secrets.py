"""Secrets of stored sessions are wiped, are not in the shared memory, and are in no text."""

import copy
import pickle
import secrets
import time

import libssl
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from handshakes import VERSIONS
from machine import SUPPORT
from tickets import visit
from watched import Watched

from pysidctx import SessionCache

SIZE = 1 << 20


def key_of_period(secret, number):
    """The 32 bytes that SessionCache.from_secret() says it derives."""
    return HKDF(hashes.SHA256(), 32, b"pysidctx session cache 1", number.to_bytes(8, "big")).derive(secret)


@pytest.fixture
def watched():
    made = Watched()
    yield made
    made.process.communicate()


# The master keys are told as their ones' complements, so that nothing that is left of that is what is searched for.
HANDSHAKES = """
import ctypes, ssl, sys; sys.path.append({tests!r})
import libssl, pysidctx; from handshakes import connect; from tickets import visit
server_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); server_ctx.load_cert_chain({certificate!r})
server_ctx.load_verify_locations({ca!r}); server_ctx.verify_mode = ssl.CERT_REQUIRED
client_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); client_ctx.load_verify_locations({ca!r})
client_ctx.load_cert_chain({certificate!r})
client_ctx.maximum_version = ssl.TLSVersion.{version}
def tell(ends):
    key = ctypes.create_string_buffer(48)
    session = libssl.SSL_get_session(libssl.pointer(ends.client))
    length = libssl.SSL_SESSION_get_master_key(session, key, 48)
    for place in range(length):
        key[place] = 255 - key[place][0]
    with open({told!r}, "a") as told:
        print(key.raw[:length].hex(), file=told)
def visits():
    ends = []
    _, session = visit(server_ctx, client_ctx, before=ends.append)
    # Not a session of CPython's, which does not wipe its copy.
    again, _ = visit(server_ctx, client_ctx, session, before=ends.append)
    assert again
    tell(ends[0]), tell(ends[1])
"""


@pytest.fixture
def serving(watched, pem_files, tmp_path, version):
    """A process that serves, and the master keys that it has written down."""
    certificate, ca = map(str, pem_files)
    told = tmp_path / "told"
    text = HANDSHAKES.format(tests=str(SUPPORT), certificate=certificate, ca=ca, version=version.name, told=str(told))
    watched.run(f"exec({text!r})")
    return watched, lambda: [bytes(255 - byte for byte in bytes.fromhex(line)) for line in told.read_text().split()]


def test_nothing_of_its_own_keys_is_left_in_memory(serving, tmp_path):
    watched, _ = serving
    path, secret = tmp_path / "secret", secrets.token_bytes(48)
    path.touch(0o600)
    path.write_bytes(secret)
    watched.run(f"cache = pysidctx.SessionCache.from_secret_file({str(path)!r}, memory={str(tmp_path / 'memory')!r}, "
                f"size={SIZE}); cache.install(server_ctx)")
    number = int(time.time()) // 3600
    keys = [key_of_period(secret, each) for each in (number - 1, number, number + 1)]
    watched.run("visits(); visits()")
    assert watched.count(secret) == 1
    # That of the period, and what a context of OpenSSL's has expanded it to, which begins with the key.
    assert sum(watched.count(key[:16]) for key in keys) >= 1
    watched.run("cache.forget_all(); cache.uninstall(server_ctx); del cache, server_ctx")
    parts = [secret, *(key[:16] for key in keys), *(key[16:] for key in keys)]
    assert [watched.count(part) for part in parts] == [0] * 7


def test_nothing_of_sessions_is_left_in_memory(serving):
    """Neither where they were stored and found, nor in the shared memory, nor on the stack."""
    watched, told = serving
    watched.run(f"cache = pysidctx.SessionCache(size={SIZE}); cache.install(server_ctx); visits(); visits()")
    keys = told()
    assert len(keys) == 4 and len(set(keys)) >= 2
    watched.run("assert cache.stats().hits == 2 and len(cache) >= 2")
    assert [watched.count(key) for key in keys] == [0] * 4


def test_a_session_that_is_kept_is_found(serving):
    watched, told = serving
    watched.run("kept = connect(server_ctx, client_ctx); tell(kept)")
    assert watched.count(told()[0]) >= 1


def test_the_seal_is_as_the_documentation_has_it(tmp_path, server_ctx, make_client_ctx):
    """Another library opens a session with the key that is derived as from_secret() says, and finds its secret."""
    secret, path = secrets.token_bytes(32), tmp_path / "memory"
    SessionCache.from_secret(secret, memory=path, size=SIZE).install(server_ctx, when="always")
    _, session = visit(server_ctx, make_client_ctx(VERSIONS[0]))
    memory = path.read_bytes()
    # Eight tags, eight ends and lengths, and eight bodies are a set.
    place = memory.index((int.from_bytes(session.id[8:16], "little") | 1).to_bytes(8, "little"))
    way = next(way for way in range(8) if len(body_at(memory, place, way)) == 304 and is_sealed(memory, place, way))
    packed = int.from_bytes(memory[place + 64:place + 72], "little")
    body = body_at(memory, place, way)
    period, nonce, tag, data = int.from_bytes(body[:4], "little"), body[4:16], body[16:32], body[32:32 + packed % 65536]
    opened = AESGCM(key_of_period(secret, period)).decrypt(nonce, data + tag, session.id + packed.to_bytes(8, "big"))
    assert libssl.master_key(session.to_der()) in opened
    assert libssl.master_key(session.to_der()) not in memory and secret not in memory


def body_at(memory, place, way):
    begin = place - 8 * way + 128 + way * 304
    return memory[begin:begin + 304]


def is_sealed(memory, place, way):
    """Whether a body of this number, of those behind a tag, has the period of now."""
    period = int.from_bytes(body_at(memory, place, way)[:4], "little")
    return abs(period - time.time() // 3600) <= 1


def test_no_text_has_a_secret(tmp_path, key_file):
    secret = b"a secret that is long enough for it"
    path = key_file("secret", secret)
    for cache in (SessionCache(size=SIZE), SessionCache.from_secret(secret, memory=tmp_path / "memory", size=SIZE),
                  SessionCache.from_secret_file(path, memory=tmp_path / "memory", size=SIZE)):
        for text in (repr(cache), str(cache), repr(cache.stats())):
            assert "secret" not in text.replace(str(tmp_path), "") and secret.hex() not in text
    with pytest.raises(ValueError) as refused:
        SessionCache.from_secret(b"short secret")
    assert "short secret" not in str(refused.value)


def test_pickling(tmp_path, key_file, two, client_ctx):
    path = key_file("secret", secrets.token_bytes(48))
    for unnamed in (SessionCache(size=SIZE), SessionCache.from_secret(bytes(32), memory=tmp_path / "other", size=SIZE),
                    SessionCache.from_secret_file(path, size=SIZE)):
        for copied in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="from_secret_file"):
                copied(unnamed)
    cache = SessionCache.from_secret_file(path, memory=tmp_path / "memory", size=SIZE, lifetime=100, period=10, peers=7)
    pickled = pickle.dumps(cache)
    assert path.read_bytes() not in pickled
    again = pickle.loads(pickled)
    assert (again.lifetime, again.period, again.size, again.memory) == (100, 10, SIZE, str(tmp_path / "memory"))
    for ctx, each in zip(two, (cache, again)):
        each.install(ctx, when="always")
    assert visit(two[1], client_ctx, visit(two[0], client_ctx)[1])[0]
