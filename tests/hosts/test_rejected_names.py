"""Names that a HostMap rejects are logged: all are counted, the last one is told, and it cannot write to the log."""

import logging

import logs
import pytest
from client_hello import server_name
from conditions import waiting
from rejected import Rejecting

from pysidctx.hosts import rejections

until = waiting(20)  # seconds
BEGIN = "server names rejected: "


@pytest.fixture
def listener(pem_files):
    return Rejecting(pem_files[0])


@pytest.fixture
def told(caplog):
    """Return the one message that is logged, without its beginning."""
    logs.begin(caplog, rejections.tell)

    def read():
        rejections.tell()  # the thread may wait for its second to pass
        until(lambda: caplog.records)  # if it took the name before
        (record,) = caplog.records
        caplog.clear()
        assert (record.name, record.levelname) == ("pysidctx", "INFO")
        message = record.getMessage()
        assert message.isascii() and message.isprintable() and message.startswith(BEGIN)
        return message[len(BEGIN):]

    return read


@pytest.mark.parametrize("name", [
    b"evil.test", b"EVIL.test.", b"a\nCRITICAL:root:b", b"\r\n\r\n", b"\x1b[2J\x1b]0;x\x07", b"%s%(message)s{0}",
    b"'\"\\", b"\xff\xfe\xe2\x80\xae", b" ", b"x" * 255, b"\n" * 255])
def test_the_name_is_told_as_it_was_sent(listener, told, name):
    listener.reject(name)
    assert told() == f"1, the last one {name!r}"
    assert listener.hosts.stats().rejected == 1


@pytest.mark.parametrize("name", [b"evil\0.test", b"\0", b"x" * 256, b"\0" * 60000, b""])
def test_a_malformed_name(listener, told, name):
    listener.reject(name)
    kept = f"{name!r}" if 0 < len(name) <= 255 else f"{name[:255]!r}..." if name else f"{server_name(b'')!r}"
    assert told() == f"1, the last one malformed: {kept}"
    assert listener.hosts.stats().malformed == 1


@pytest.mark.parametrize("data", [b"", b"\n", b"\0\0\0\0\0", server_name(b"evil")[:-1], server_name(b"evil", kind=1)])
def test_an_extension_that_is_no_name_is_told_whole(listener, told, data):
    listener.reject_extensions(data)
    assert told() == f"1, the last one malformed: {data!r}"


def test_two_names_are_malformed(listener, told):
    data = server_name(b"a.test", rest=server_name(b"b.test")[2:])
    listener.reject_extensions(data)
    assert told() == f"1, the last one malformed: {data!r}"


def test_no_name(listener, told):
    listener.reject_extensions()
    assert told() == "1, the last one missing"


def test_a_map_that_is_gone_meanwhile(listener, told):
    listener.reject(b"evil.test")
    listener.ctx = listener.hosts = None
    assert told() == "1, the last one b'evil.test'"


def test_what_nobody_wants_to_know_is_dropped(listener, told, caplog):
    caplog.set_level(logging.WARNING, "pysidctx")
    listener.reject(b"evil.test")
    rejections.tell()
    caplog.set_level(logging.INFO, "pysidctx")
    listener.reject(b"other.test")
    assert told() == "1, the last one b'other.test'"


def test_a_name_that_is_served_is_not_told(listener, told, make_client_ctx):
    listener.hosts.unmatched = "serve"
    with pytest.raises(AssertionError, match="not rejected"):
        listener.reject(b"unknown.test")
    listener.hosts.unmatched = "reject"
    listener.reject(b"evil.test")
    assert told() == "1, the last one b'evil.test'"
