"""Calls and handshakes for which OpenSSL has no memory."""

import subprocess
import sys

import libssl
import pytest
from consumers import build
from machine import ROOT, SUPPORT, program

pytestmark = pytest.mark.skipif(not libssl.shared(), reason="this Python's OpenSSL takes no other memory functions")


@pytest.fixture
def scarce_memory(tmp_path):
    library = tmp_path / "scarce_memory.so"
    subprocess.run([program("cc", "gcc"), "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror",
                    ROOT / "tests" / "consumers" / "scarce_memory.c", "-o", library], check=True)
    return library


# Run in a process of its own, because OpenSSL takes memory functions only before its first use.
PREPARED = """
import ctypes, sys
libcrypto, library, certificate, ca, tests, *folders = sys.argv[1:]
memory = ctypes.CDLL(library)
assert ctypes.CDLL(libcrypto).CRYPTO_set_mem_functions(
    memory.scarce_malloc, memory.scarce_realloc, memory.scarce_free)
scarce_for = (ctypes.c_char * 64).in_dll(memory, "scarce_for")

sys.path.append(tests)
import ssl
import handshakes, libssl, pysidctx
server_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server_ctx.load_cert_chain(certificate)
client_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client_ctx.load_verify_locations(ca)

def fails(error, function, *arguments, file=b"listener.c"):
    scarce_for.value = file
    try:
        function(*arguments)
    except error as raised:
        print(raised)
    else:
        raise AssertionError("there was memory")
    finally:
        scarce_for.value = b""
    assert libssl.ERR_peek_error() == 0
"""

ID_CONTEXTS = """
for file in (b"listener.c", b"stack.c"):  # the second one is OpenSSL's, for the place in ex_data
    fails(MemoryError, pysidctx.set_session_id_context, server_ctx, b"shop", file=file)
ends = handshakes.pair(server_ctx, client_ctx)
fails(MemoryError, pysidctx.set_session_id_context, ends.server, b"shop")
assert handshakes.id_context(handshakes.shake(ends)) == b"Python\\0"

pysidctx.set_session_id_context(server_ctx, b"shop")
ends = handshakes.pair(server_ctx, client_ctx)
fails(ssl.SSLWantReadError, ends.client.do_handshake)
fails(ssl.SSLError, ends.server.do_handshake)
fails(ssl.SSLError, ends.client.do_handshake)
assert handshakes.id_context(handshakes.connect(server_ctx, client_ctx)) == b"shop"
"""

# The files are OpenSSL's: copies, reading and writing in DER, in PEM, and places in ex_data.
SESSIONS = """
Session = pysidctx.Session
ends = handshakes.shake(handshakes.pair(server_ctx, client_ctx))
session = Session.of(ends.client)
der, pem = session.to_der(), session.to_pem()
fresh = handshakes.pair(server_ctx, client_ctx)
client_ctx.check_hostname = False
unchecked = handshakes.shake(handshakes.pair(server_ctx, client_ctx))

for file, error, function, *arguments in (
    (b"ssl_sess.c", pysidctx.Error, Session.of, ends.client),
    (b"ssl_sess.c", pysidctx.Error, Session.of, ends.client.session),
    (b"ssl_sess.c", pysidctx.Error, session.with_id_context, b"shop"),
    (b"ssl_sess.c", pysidctx.Error, session.resume_on, fresh.client),
    (b"stack.c", pysidctx.Error, Session.of, unchecked.client),
    (b"ssl_sess.c", pysidctx.Error, lambda: Session.from_der(der, id_context=None)),
    (b"bio", pysidctx.Error, lambda: Session.from_pem(pem, id_context=None)),
    (b"pem_lib.c", pysidctx.Error, lambda: Session.from_pem(pem, id_context=None)),
    (b"tasn_enc.c", pysidctx.Error, session.to_der),
    (b"bio", pysidctx.Error, session.to_pem),
    (b"pem_lib.c", pysidctx.Error, session.to_pem),
    (b"buffer.c", pysidctx.Error, session.to_pem),
):
    fails(error, function, *arguments, file=file)
    assert session.to_der() == der
handshakes.shake(fresh)
assert not fresh.client.session_reused
"""

# keyring.c, listener.c and ticket_callbacks.c are ours; the others OpenSSL's, for HKDF and for places in ex_data.
TICKETS = """
import tempfile, time, tickets
TicketKeys, Error = pysidctx.TicketKeys, pysidctx.Error
for file, error in ((b"keyring.c", MemoryError), (b"kdf", Error)):
    fails(error, TicketKeys, file=file)
    fails(error, TicketKeys.from_secret, bytes(32), file=file)
with tempfile.NamedTemporaryFile() as written:
    written.write(bytes(80))
    written.flush()
    fails(MemoryError, TicketKeys.from_files, [written.name], file=b"keyring.c")
    filed = TicketKeys.from_files([written.name])
    fails(MemoryError, filed.reload, file=b"keyring.c")

_, own = tickets.visit(server_ctx, client_ctx)
keys = TicketKeys(period=1, lifetime=100)
for file, error in ((b"listener.c", MemoryError), (b"stack.c", MemoryError), (b"tickets/callbacks.c", Error)):
    fails(error, keys.install, server_ctx, file=file)
    assert tickets.visit(server_ctx, client_ctx, own)[0]

keys.install(server_ctx)
ends = handshakes.pair(server_ctx, client_ctx)
fails(ssl.SSLWantReadError, ends.client.do_handshake)
fails(ssl.SSLWantReadError, ends.server.do_handshake, file=b"keyring.c")
ends.client.do_handshake()
fails(ssl.SSLError, ends.server.do_handshake, file=b"keyring.c")

_, session = tickets.visit(server_ctx, client_ctx)
tickets.sleep_into_period(1)
scarce_for.value = b"keyring.c"  # the former keys serve on, until there is memory for others
resumed, session = tickets.visit(server_ctx, client_ctx, session)
assert resumed
fails(MemoryError, keys.uninstall, server_ctx, file=b"keyring.c")
assert tickets.visit(server_ctx, client_ctx, session)[0]
"""

# templates.c is ours; the others OpenSSL's, for encoding, for digests, and for copies.
STORED_SESSIONS = """
from pathlib import Path
from consumers import load
cache = load(Path(folders[0]), "from_cache")
server = handshakes.shake(handshakes.pair(server_ctx, client_ctx)).server
session, connection = libssl.SSL_get_session(libssl.pointer(server)), libssl.pointer(server)
key, der = cache.describe(session)
record = cache.record_of(session, key, 1, 2, 1 << 33)
empty, table = cache.Table(1), cache.Table(1)
assert table.add(key, der)
copy, _ = table.duplicate(key)

fails(MemoryError, cache.Table, 100, file=b"cache/templates.c")
for file, function, *arguments in (
    (b"cache/templates.c", cache.describe, session),
    (b"tasn_enc.c", cache.describe, session),
    (b"digest.c", cache.describe, session),
    (b"cache/templates.c", empty.add, key, der),
    (b"digest.c", empty.add, key, der),
    (b"tasn_new.c", empty.add, key, der),
    (b"ssl_sess.c", empty.add, key, der),
    (b"ssl_sess.c", table.duplicate, key),
    (b"ssl_sess.c", cache.apply, connection, copy, bytes(32), record),
):
    scarce_for.value = file
    result = function(*arguments)
    scarce_for.value = b""
    assert not result, (file, function)
    # Whoever finds a session marks the queue before, and empties it to there.
    assert not libssl.queued_reasons() or function in (table.duplicate, cache.apply)
    assert empty.duplicate(key) is None

assert cache.describe(session) == (key, der) and empty.add(key, der)
again, _ = empty.duplicate(key)
assert cache.apply(connection, again, bytes(32), record)
libssl.SSL_SESSION_free(again)
libssl.SSL_SESSION_free(copy)
"""

# All are ours. What cannot be stored or found is a full handshake, and nothing else.
SESSION_CACHE = """
import os, tempfile, tickets
from concurrent.futures import ThreadPoolExecutor
def files():
    return len(os.listdir("/proc/self/fd"))

SessionCache, open_files = pysidctx.SessionCache, files()
for file in (b"cache/seal.c", b"cache/store.c", b"cache/templates.c"):
    fails(MemoryError, lambda: SessionCache(size=1 << 20), file=file)
    assert files() == open_files
cache = SessionCache(size=1 << 20)
_, ticket = tickets.visit(server_ctx, client_ctx)
for file in (b"listener.c", b"cache/callbacks.c"):
    fails((MemoryError, pysidctx.Error), lambda: cache.install(server_ctx, when="always"), file=file)
    assert tickets.visit(server_ctx, client_ctx, ticket)[0]
cache.install(server_ctx, when="always")

def visit(file, session=None):
    # In a thread that has no Sealer yet.
    scarce_for.value = file
    try:
        with ThreadPoolExecutor(1) as threads:
            return threads.submit(tickets.visit, server_ctx, client_ctx, session).result()
    finally:
        scarce_for.value = b""

for version in handshakes.VERSIONS:
    client_ctx.minimum_version, client_ctx.maximum_version = handshakes.VERSIONS[0], version
    fresh = SessionCache(size=1 << 20)
    fresh.install(server_ctx, when="always")
    _, ticket = visit(b"cache/callbacks.c")  # it has no place on its connection, and tickets
    assert not fresh.stats().stored and tickets.visit(server_ctx, client_ctx, ticket)[0] is False
    for file in (b"cache/seal.c", b"cache/templates.c"):
        before = fresh.stats().stored
        _, lost = visit(file)
        assert fresh.stats().stored == before
        assert not tickets.visit(server_ctx, client_ctx, lost)[0]
        _, kept = tickets.visit(server_ctx, client_ctx)
        assert fresh.stats().stored > before
        assert not visit(b"cache/seal.c", kept)[0]
        assert tickets.visit(server_ctx, client_ctx, kept)[0]

# By a process that has decoded nothing yet.
with tempfile.TemporaryDirectory() as folder:
    caches = [SessionCache.from_secret(bytes(32), memory=folder + "/memory", size=1 << 20) for _ in range(2)]
    caches[0].install(server_ctx, when="always")
    _, kept = tickets.visit(server_ctx, client_ctx)
    caches[1].install(server_ctx, when="always")
    assert not visit(b"cache/templates.c", kept)[0]
    assert caches[1].stats().peers_missing == 1
    assert tickets.visit(server_ctx, client_ctx, kept)[0]
"""


def run(script, memory, pem_files, *folders):
    ran = subprocess.run(
        [sys.executable, "-c", PREPARED + script, libssl.file_of("libcrypto"), memory, *pem_files,
         SUPPORT, *folders],
        capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout.splitlines()


def test_nothing_is_changed_and_handshakes_end_in_an_alert(scarce_memory, pem_files):
    *set_on, _, server, client = run(ID_CONTEXTS, scarce_memory, pem_files)
    assert len(set_on) == 3 and all("out of memory" in message for message in set_on)
    assert "CALLBACK_FAILED" in server.upper()
    assert "INTERNAL_ERROR" in client.upper()


def test_sessions_are_as_they_were(scarce_memory, pem_files):
    run(SESSIONS, scarce_memory, pem_files)


def test_ticket_keys_are_as_they_were(scarce_memory, pem_files):
    *_, server, _ = run(TICKETS, scarce_memory, pem_files)
    assert "CALLBACK_FAILED" in server.upper()


def test_a_session_cache_serves_on(scarce_memory, pem_files):
    run(SESSION_CACHE, scarce_memory, pem_files)


def test_sessions_are_not_stored_or_not_found(scarce_memory, pem_files, tmp_path):
    build(tmp_path, "from_cache.pyx")
    run(STORED_SESSIONS, scarce_memory, pem_files, tmp_path)
