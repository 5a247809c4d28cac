"""Machines that have the same secret log the same eight characters, and never the secret."""

import base64
import logging
import pickle
import secrets

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pysidctx import SessionCache, TicketKeys


def expected(secret):
    return HKDF(hashes.SHA256(), 4, b"pysidctx secret fingerprint 1", b"").derive(secret).hex()


@pytest.mark.parametrize("length", [32, 100, 1024])
def test_it_is_what_is_documented(length):
    secret = secrets.token_bytes(length)
    assert TicketKeys.from_secret(secret).fingerprint == expected(secret)


def test_it_depends_on_the_secret_alone(key_file):
    secret = secrets.token_bytes(32)
    same = [TicketKeys.from_secret(bytearray(secret), period=60, lifetime=600),
            TicketKeys.from_secret_file(key_file("secret", secret)),
            SessionCache.from_secret(secret, size=1 << 20), SessionCache.from_secret(secret, period=600)]
    assert {each.fingerprint for each in same} == {expected(secret)}
    other = bytearray(secret)
    other[-1] ^= 1
    assert TicketKeys.from_secret(other).fingerprint == expected(bytes(other)) != expected(secret)


def test_random_keys_have_one_and_keys_from_files_have_none(key_file):
    assert TicketKeys().fingerprint != TicketKeys().fingerprint
    assert len(SessionCache(size=1 << 20).fingerprint) == 8
    assert TicketKeys.from_files([key_file("key", secrets.token_bytes(80))]).fingerprint is None


def test_a_secret_that_is_loaded_is_logged(key_file, caplog):
    secret = secrets.token_bytes(32)
    path = key_file("secret", secret)
    with caplog.at_level(logging.INFO, "pysidctx"):
        keys = TicketKeys.from_secret_file(path)
        pickle.loads(pickle.dumps(keys))
        TicketKeys.from_secret(secret)
        SessionCache.from_secret_file(path, size=1 << 20)
    assert [record.getMessage() for record in caplog.records] == [
        f"secret loaded for {purpose} from {source}: its fingerprint is {expected(secret)}"
        for purpose, source in (("ticket keys", repr(str(path))), ("ticket keys", repr(str(path))),
                                ("ticket keys", "the program"), ("a session cache", repr(str(path))))]
    assert {(record.name, record.levelname) for record in caplog.records} == {("pysidctx", "INFO")}


def test_the_secret_is_in_no_message(key_file, caplog):
    secret = secrets.token_bytes(48)
    with caplog.at_level(logging.DEBUG):
        TicketKeys.from_secret_file(key_file("secret", secret))
        SessionCache.from_secret(secret, size=1 << 20)
        keys = TicketKeys.from_files([key_file("key", secret)])
        keys.reload()
    assert len(caplog.records) >= 2
    told = "\n".join(f"{vars(record)}" for record in caplog.records)
    for part in (secret[16:], secret[16:24], secret[-8:]):  # the first bytes of a key file are the name of the key
        for shown in (repr(part)[2:-1], part.hex(), base64.b64encode(part).decode().rstrip("=")[:-1]):
            assert shown not in told
