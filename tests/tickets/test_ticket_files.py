"""The arguments that TicketKeys refuse, and the files that keys are read from."""

import copy
import os
import pickle
import secrets
import ssl

import pytest
from forks import in_a_fork

from pysidctx import TicketKeys

SECRET = bytes(range(32))


@pytest.mark.parametrize("call, error, message", [
    (lambda: TicketKeys(b"secret" * 6), TypeError, "from_secret"),
    (lambda: TicketKeys(period=1.0), TypeError, "period must be an int, in seconds, not float"),
    (lambda: TicketKeys(lifetime=True), TypeError, "lifetime must be an int, in seconds, not bool"),
    (lambda: TicketKeys(period=0), ValueError, "period must be 1 to 604800 seconds, not 0"),
    (lambda: TicketKeys(lifetime=604801), ValueError, "lifetime must be 1 to 604800 seconds, not 604801"),
    (lambda: TicketKeys(lifetime=-1), ValueError, "not -1"),
    (lambda: TicketKeys(period=1 << 70), ValueError, "period must be 1 to"),
    (lambda: TicketKeys(period=10, lifetime=10001), ValueError, "choose a period of at least 11 seconds"),
    (lambda: TicketKeys.from_secret(b"x" * 31), ValueError, "31 bytes long, but a secret has 32 to 1024"),
    (lambda: TicketKeys.from_secret(b"x" * 1025), ValueError, "1025 bytes long"),
    (lambda: TicketKeys.from_secret("x" * 32), TypeError, "bytes-like object, not str"),
    (lambda: TicketKeys.from_secret(memoryview(SECRET * 2)[::2]), TypeError, "contiguous"),
    (lambda: TicketKeys.from_files("key"), TypeError, "list"),
    (lambda: TicketKeys.from_files([]), ValueError, "at least one"),
    (lambda: TicketKeys.from_files(["key"], layout="haproxy"), ValueError, "nginx.*apache"),
    (lambda: TicketKeys.from_files(["key"], lifetime=0), ValueError, "lifetime"),
    (lambda: TicketKeys().reload(), ValueError, "only for keys from files"),
    (lambda: TicketKeys().install(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)), ValueError, "clients"),
    (lambda: TicketKeys().install(object()), TypeError, "SSLContext"),
    (lambda: TicketKeys().uninstall(object()), TypeError, "SSLContext"),
    (lambda: pickle.dumps(TicketKeys()), TypeError, "pickled"),
    (lambda: copy.copy(TicketKeys()), TypeError, "copied"),
], ids=lambda value: "")
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def from_secret_file(path):
    return TicketKeys.from_secret_file(path)


def from_key_file(path):
    return TicketKeys.from_files([path])


@pytest.fixture(params=[from_secret_file, from_key_file])
def read(request):
    return request.param


def refused(read, path, error, message, content=None):
    with pytest.raises(error, match=message) as caught:
        read(path)
    said = str(caught.value)
    assert os.fsdecode(path) in said
    if content is not None and len(content) > 8:
        assert content.decode("latin-1") not in said and content.hex() not in said


@pytest.mark.parametrize("read, size", [
    *((from_secret_file, size) for size in (0, 1, 31, 1025, 1 << 21)),
    *((from_key_file, size) for size in (0, 1, 32, 47, 49, 64, 79, 81, 4096, 4097, 1 << 21)),
])
def test_files_of_wrong_sizes(read, key_file, size):
    content = b"s" * size
    refused(read, key_file("key", content), ValueError, "bytes long|too large", content[:20])


def test_a_file_in_base64(key_file):
    refused(from_key_file, key_file("key", b"A" * 108 + b"\n"), ValueError, "not text")


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602, 0o660, 0o620, 0o777])
def test_files_that_others_have_access_to(read, key_file, mode):
    path = key_file("key", b"s" * 80)
    path.chmod(mode)
    refused(read, path, ValueError, f"has mode {mode:04o}.*chmod 600", b"s" * 20)


def test_root_may_let_a_group_read_a_file(read, key_file):
    path = key_file("key", b"s" * 80)
    path.chmod(0o640)
    if path.stat().st_uid == 0:
        read(path)
    else:
        refused(read, path, ValueError, "has mode 0640")


def test_files_of_other_users(read, key_file):
    path = key_file("key", b"s" * 80)
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(path, 4711, -1)
    refused(read, path, ValueError, "belongs to user 4711")
    path.chmod(0o640)  # a group's access is for root alone to give
    refused(read, path, ValueError, "has mode 0640")


def test_what_is_no_file(read, tmp_path, key_file):
    refused(read, tmp_path, OSError, "directory")
    refused(read, tmp_path / "missing", FileNotFoundError, "No such file")
    os.mkfifo(tmp_path / "pipe", 0o600)
    refused(read, tmp_path / "pipe", ValueError, "is not a regular file")


def test_an_unreadable_file(read, key_file):
    path = key_file("key", b"s" * 80)
    path.chmod(0)
    if os.geteuid() == 0:
        def work():
            os.seteuid(65534)
            refused(read, path, PermissionError, "denied")
            return True
        assert in_a_fork(work)
    else:
        refused(read, path, PermissionError, "denied")


def test_two_keys_of_one_name(key_file):
    data = secrets.token_bytes(80)
    paths = key_file("one", data), key_file("other", data[:48])
    with pytest.raises(ValueError, match="other' and '.*one' hold keys of the same name"):
        TicketKeys.from_files(paths)


def test_paths_of_all_kinds(key_file):
    path = key_file("key", b"s" * 80)
    for given in (path, str(path), os.fsencode(path)):
        assert from_key_file(given).period is None
        assert from_secret_file(given).period == 3600


def test_nothing_secret_is_shown(key_file):
    path = key_file("key", b"secret!!" * 10)
    keys = from_key_file(path)
    assert repr(keys) == f"<TicketKeys from {str(path)!r}, lifetime=86400>"
    assert repr(TicketKeys(period=60, lifetime=300)) == "<TicketKeys period=60 lifetime=300>"
    assert (keys.lifetime, keys.period) == (86400, None)
