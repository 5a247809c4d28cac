"""Threads, event loops, forks and memory: one store serves all that a process does, and no other process."""

import asyncio
import os
import secrets
import signal
import ssl
import subprocess
import sys
import threading

import handshakes
import libssl
import pytest
from brief_servers import serving
from machine import SUPPORT
from servers import accepting
from watched import Watched

import pysidctx


@pytest.mark.parametrize("way", ["asyncio", "uvloop"])
def test_four_event_loops_share_a_context(way, server_ctx, make_client_ctx, sessions):
    if way == "uvloop":
        from machine import module

        new_loop = module("uvloop", "uvloop").new_event_loop
    else:
        new_loop = asyncio.new_event_loop
    client = sessions.install(make_client_ctx())
    resumed = []

    async def visits(port):
        for _ in range(12):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname="a.test")
            assert await reader.read(1) == b"x"
            resumed.append(writer.get_extra_info("ssl_object").session_reused)
            writer.close()

    def run(port):
        loop = new_loop()
        loop.run_until_complete(visits(port))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    def serve(plain):
        threading.Thread(target=serving(server_ctx), args=(plain,)).start()

    with accepting(serve) as (host, port):
        threads = [threading.Thread(target=run, args=(port,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(resumed) == 48 and sum(resumed) >= 40
    assert sessions.stats().declined == 0


def forked(work):
    """What a child process, which has one thread, returns for `work`: a number below 100."""
    child = os.fork()
    if not child:
        try:
            signal.alarm(20)
            os._exit(work())
        finally:
            os._exit(101)
    status = os.waitpid(child, 0)[1]
    assert os.WIFEXITED(status), status
    return os.WEXITSTATUS(status)


fork_warning = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


@fork_warning
def test_a_child_starts_empty(version, server_ctx, make_client_ctx, sessions, resumed):
    client = sessions.install(make_client_ctx(version))
    assert resumed(server_ctx, client, 2) == [False, True]

    def work():
        if sessions.stats() != pysidctx.ClientStats(*[0] * 9):
            return 1
        found = resumed(server_ctx, client, 3)
        return 0 if found == [False, True, True] and sessions.stats().stored else 2

    assert forked(work) == 0
    assert resumed(server_ctx, client)


@fork_warning
def test_tickets_that_are_read_after_a_fork_belong_to_one_process(server_ctx, make_client_ctx, sessions):
    """Both processes have the connection, and the bytes of the tickets."""
    client = sessions.install(make_client_ctx(ssl.TLSVersion.TLSv1_3))
    ends = handshakes.pair(server_ctx, client)
    for end in (ends.client, ends.server, ends.client, ends.server):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            pass

    def work():
        handshakes.read_nothing(ends.client)
        return sessions.stats().stored

    assert sessions.stats().stored == 0
    assert forked(work) == 0
    handshakes.read_nothing(ends.client)
    assert sessions.stats().stored > 0


@fork_warning
def test_forks_under_load(server_ctx, make_client_ctx, sessions):
    client = sessions.install(make_client_ctx())
    stop = threading.Event()

    def load():
        while not stop.is_set():
            handshakes.connect(server_ctx, client)
            sessions.stats()

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(60):
            assert forked(lambda: sessions.stats().sessions) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()


PROGRAM = """
import ssl, sys; sys.path.append({tests!r}); from handshakes import connect; import pysidctx
server_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); server_ctx.load_cert_chain({certificate!r})
client_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); client_ctx.load_verify_locations({ca!r})
"""


def test_secrets_are_wiped(version, server_ctx, make_client_ctx, tmp_path, pem_files):
    """Those of sessions in a file, which this process knows, are searched in the memory of another one."""
    sessions = pysidctx.ClientSessions(single_use=False)
    client = sessions.install(make_client_ctx(version, certificate=False))
    path = tmp_path / "sessions.pem"
    handshakes.connect(server_ctx, client)
    sessions.save(path)
    text = path.read_text().split("\n", 1)[1]
    block = text[:text.index("-----END")] + "-----END SSL SESSION PARAMETERS-----\n"
    session = pysidctx.Session.from_pem(block, id_context=None)
    key, lines = libssl.master_key(session.to_der()), block.encode().splitlines()[1:-1]
    watched = Watched()
    certificate, ca = map(str, pem_files)
    watched.run(f"exec({PROGRAM.format(tests=str(SUPPORT), certificate=certificate, ca=ca)!r})")
    watched.run("sessions = pysidctx.ClientSessions(single_use=False)")
    watched.run("sessions.install(client_ctx).maximum_version = "
                f"ssl.TLSVersion.{version.name}")
    watched.run(f"sessions.load({str(path)!r})")
    assert watched.count(key) == 1
    assert [watched.count(line) for line in lines] == [0] * len(lines)
    watched.run(f"sessions.save({str(path)!r})")
    assert [watched.count(line) for line in lines] == [0] * len(lines)
    watched.run("sessions.clear()")
    assert watched.count(key) == 0
    watched.process.communicate()


def test_the_process_may_end_at_any_moment(pem_files, tmp_path):
    """Daemon threads in handshakes, and contexts that are freed last."""
    certificate, ca = map(str, pem_files)
    text = PROGRAM.format(tests=str(SUPPORT), certificate=certificate, ca=ca) + """
import threading, time
sessions = pysidctx.ClientSessions(); sessions.install(client_ctx)
def work():
    while True: connect(server_ctx, client_ctx)
for _ in range(3): threading.Thread(target=work, daemon=True).start()
time.sleep(0.2)
"""
    for _ in range(3):
        ran = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, ran.stderr


TICKET_DATA = 60_000  # bytes


def test_tickets_of_64_kib(version, server_ctx, make_client_ctx, sessions, resumed):
    """They do not fit into a ClientHello."""
    data = secrets.token_bytes(TICKET_DATA)
    generate, decrypt = libssl.ticket_callbacks(lambda session: libssl.SSL_SESSION_set1_ticket_appdata(
        session, data, len(data)))
    libssl.SSL_CTX_set_session_ticket_cb(libssl.pointer(server_ctx), generate, decrypt, None)
    client = sessions.install(make_client_ctx(version))
    assert resumed(server_ctx, client, 3) == [False, False, False]
    stats = sessions.stats()
    assert stats.stored == 0 and stats.dropped == 3 * (1 if version is ssl.TLSVersion.TLSv1_2 else 2)


@pytest.mark.skipif(not hasattr(ssl.SSLContext, "set_psk_client_callback"), reason="CPython has it from 3.13 on")
@pytest.mark.skipif(not getattr(ssl, "HAS_PSK", True), reason="OpenSSL was built without pre-shared keys")
def test_clients_with_pre_shared_keys_work_and_keep_nothing(version, sessions):
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    for ctx in (server, client):
        ctx.maximum_version = version
        ctx.set_ciphers("PSK")
    client.set_psk_client_callback(lambda hint: ("me", b"secret key"))
    server.set_psk_server_callback(lambda identity: b"secret key")
    sessions.install(client)
    for _ in range(3):
        handshakes.connect(server, client)
    assert sessions.stats().stored == 0
