"""Ticket keys that are rotated are logged, whatever rotates them: the clock, or new files."""

import re
import secrets
import time

import logs
import pytest
from conditions import waiting
from handshakes import connect
from tickets import sleep_into_period

from pysidctx import TicketKeys
from pysidctx.tickets import rotations

until = waiting(20)  # seconds
ROTATED = re.compile(r"ticket keys rotated: the key of period (\d+) encrypts new tickets, that of the secret with the "
                     r"fingerprint (\w{8})")


@pytest.fixture
def told(caplog):
    """What is logged of ticket keys."""
    logs.begin(caplog, rotations.tell)

    def read():
        return [record.getMessage() for record in caplog.records
                if (record.name, record.levelname) == ("pysidctx", "INFO")
                and record.getMessage().startswith("ticket keys")]

    return read


def test_by_the_clock(server_ctx, make_client_ctx, told):
    keys = TicketKeys.from_secret(secrets.token_bytes(32), period=1, lifetime=10)
    keys.install(server_ctx)
    client_ctx = make_client_ctx()
    sleep_into_period(1)
    connect(server_ctx, client_ctx)  # the first keys replace none
    rotations.tell()
    first, before = int(time.time()), told()
    sleep_into_period(1)
    connect(server_ctx, client_ctx)
    until(lambda: len(told()) > len(before))
    period, fingerprint = ROTATED.fullmatch(told()[-1]).groups()
    assert first < int(period) <= time.time()
    assert fingerprint == keys.fingerprint


def test_the_first_keys_are_not_told(server_ctx, make_client_ctx, told):
    TicketKeys().install(server_ctx)
    connect(server_ctx, make_client_ctx())
    rotations.tell()
    assert told() == []


def test_each_of_several(make_server_ctx, make_client_ctx, told):
    several = [TicketKeys(period=1, lifetime=10) for _ in range(3)]
    contexts = [make_server_ctx() for _ in several]
    client_ctx = make_client_ctx()
    for keys, ctx in zip(several, contexts):
        keys.install(ctx)
    for _ in range(2):
        for ctx in contexts:
            connect(ctx, client_ctx)
        sleep_into_period(1)
    rotations.tell()
    until(lambda: {ROTATED.fullmatch(text).group(2) for text in told()} == {keys.fingerprint for keys in several})


def test_keys_that_are_gone_meanwhile(make_server_ctx, make_client_ctx, told):
    keys, ctx = TicketKeys(period=1, lifetime=10), make_server_ctx()
    keys.install(ctx)
    client_ctx = make_client_ctx()
    connect(ctx, client_ctx)
    sleep_into_period(1)
    connect(ctx, client_ctx)
    del keys, ctx
    rotations.tell()
    assert all(ROTATED.fullmatch(text) for text in told())


def test_keys_that_encrypt_nothing_are_not_told(make_server_ctx, make_client_ctx, told):
    """A ticket of unknown keys makes a handshake derive all keys of the process, to find one that decrypts it."""
    used, unused, other = (TicketKeys(period=1, lifetime=10) for _ in range(3))
    ctx, unused_ctx, other_ctx = (make_server_ctx() for _ in range(3))
    for keys, its_ctx in ((used, ctx), (unused, unused_ctx), (other, other_ctx)):
        keys.install(its_ctx)
    client_ctx = make_client_ctx()
    connect(unused_ctx, client_ctx)
    session = connect(other_ctx, client_ctx).client.session
    del other, keys, other_ctx, its_ctx
    connect(ctx, client_ctx)
    sleep_into_period(1)
    connect(ctx, client_ctx, session=session)
    rotations.tell()
    until(lambda: used.fingerprint in str(told()))
    assert unused.fingerprint not in str(told())
    connect(unused_ctx, client_ctx)
    until(lambda: unused.fingerprint in str(told()))


def test_by_new_files(key_file, told):
    one, other = (secrets.token_bytes(80) for _ in range(2))
    files = [key_file("first", one), key_file("second", other)]
    keys = TicketKeys.from_files(files)
    keys.reload()
    key_file("first", other)
    key_file("second", one)
    keys.reload()
    names = ", ".join(repr(str(path)) for path in files)
    assert told() == [
        f"ticket keys {what}: the key with the name {key[:16].hex()} encrypts new tickets, of the keys in {names}"
        for what, key in (("loaded", one), ("reloaded", one), ("rotated", other))]


def test_files_that_cannot_be_used_change_nothing(key_file, told):
    path = key_file("key", secrets.token_bytes(80))
    keys = TicketKeys.from_files([path])
    before = told()
    path.write_bytes(b"short")
    with pytest.raises(ValueError, match="5 bytes long"):
        keys.reload()
    assert told() == before
