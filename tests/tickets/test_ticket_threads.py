"""TicketKeys while threads use them, and in forked processes."""

import secrets
import threading
import time

from forks import in_a_fork
from tickets import sleep_into_period, visit

from pysidctx import TicketKeys


def test_threads_while_keys_change(two, client_ctx, key_file):
    paths = [key_file(str(number), secrets.token_bytes(80)) for number in range(2)]
    rotating = TicketKeys(period=1, lifetime=100)
    filed = TicketKeys.from_files(paths)
    rotating.install(two[0])
    filed.install(two[1])
    sleep_into_period(1, 0.8)
    end = time.monotonic() + 0.5  # in which its keys rotate
    failed = []

    def client(ctx):
        session = None
        try:
            while time.monotonic() < end:
                _, session = visit(ctx, client_ctx, session)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=client, args=(two[number % 2],)) for number in range(6)]
    for thread in threads:
        thread.start()
    while time.monotonic() < end:
        paths[1].write_bytes(paths[0].read_bytes())
        paths[0].write_bytes(secrets.token_bytes(80))
        filed.reload()
        rotating.uninstall(two[0])
        TicketKeys().install(two[0])
        rotating.install(two[0])
    for thread in threads:
        thread.join()
    assert not failed
    assert rotating.stats().issued and filed.stats().accepted


def test_a_forked_process_has_the_keys(two, client_ctx):
    keys = TicketKeys(period=1, lifetime=100)
    for ctx in two:
        keys.install(ctx)
    _, session = visit(two[0], client_ctx)
    assert in_a_fork(lambda: visit(two[1], client_ctx, session)[0])


def test_a_fork_while_threads_use_the_keys(two, client_ctx, key_file):
    """The child does not wait for them. It makes no handshake, because OpenSSL has locks of its own."""
    filed = TicketKeys.from_files([key_file("key", secrets.token_bytes(80))])
    filed.install(two[0])
    done = threading.Event()

    def client():
        while not done.is_set():
            # Many keys, which its first handshake derives.
            TicketKeys(period=1, lifetime=1000).install(two[1])
            visit(two[1], client_ctx)

    def work():
        filed.reload()
        filed.uninstall(two[0])
        filed.install(two[0])
        return True

    threads = [threading.Thread(target=client) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert all(in_a_fork(work) for _ in range(30))
    finally:
        done.set()
        for thread in threads:
            thread.join()
