"""The log tells once that a channel is lost, and once that it is back."""

import logging
import secrets
import threading

import logs
import pytest
from channels import MemoryChannel
from conditions import waiting

from pysidctx import SessionCache, deferred_log
from pysidctx.cache import channel_state
from pysidctx.cache.channel_state import RECEIVING, SENDING, ChannelState

until = waiting(20)  # seconds


@pytest.fixture
def told(caplog):
    """Wait until so many messages are logged of channels, and return the level and the text of each."""
    logs.begin(caplog, deferred_log.tell)

    def records():
        deferred_log.tell()  # the thread may wait for its second to pass
        return [record for record in caplog.records if record.getMessage().startswith("channel")]

    def read(count):
        until(lambda: len(records()) >= count)  # if it took a message before
        found = records()
        assert len(found) == count and {record.name for record in found} <= {"pysidctx"}
        return [(record.levelname, record.getMessage()) for record in found]

    return read


@pytest.fixture
def state():
    made = ChannelState("the channel")
    made.lead()
    return made


def test_both_directions_are_lost_and_back_once(state, told):
    for _ in range(3):
        state.fails(RECEIVING, ConnectionError("it is gone"))
        state.fails(SENDING, TimeoutError("so it is"))
    assert state.error == "TimeoutError: so it is"
    assert told(1) == [("WARNING", "channel lost: 'the channel' does not work, so no sessions are exchanged with other "
                                   "machines: ConnectionError: it is gone")]
    state.works(SENDING)
    assert state.error == "ConnectionError: it is gone" and told(1)
    for _ in range(3):
        state.works(RECEIVING)
        state.works(SENDING)
    assert state.error is None
    (_, (level, message)) = told(2)
    assert level == "INFO" and message.startswith("channel back: 'the channel' works again, after ")


def test_a_channel_that_works_is_not_told(state, told):
    state.works(SENDING)
    state.works(RECEIVING)
    assert told(0) == []


def test_a_process_that_rests_tells_that_another_one_has_the_channel(state, told):
    state.fails(SENDING, ConnectionError())
    for _ in range(3):
        state.rest()
    left = "INFO", "channel left: another process of this machine uses 'the channel' now, and logs whether it works"
    assert state.error is None and told(2)[1] == left
    state.fails(RECEIVING, ConnectionError())  # of a thread that does not know it yet
    state.works(SENDING)
    assert state.error is None and told(2)
    state.lead()
    state.fails(SENDING, ConnectionError())
    assert [level for level, _ in told(3)] == ["WARNING", "INFO", "WARNING"]


def test_a_process_that_rests_without_a_failure_tells_nothing(state, told):
    state.rest()
    state.lead()
    assert told(0) == []


def test_what_a_server_sends_cannot_write_lines(state, told):
    state.fails(RECEIVING, ConnectionError("x\nCRITICAL root: y\x1b[2J" + "z" * 10000))
    ((_, message),) = told(1)
    assert message.isprintable() and r"x\nCRITICAL root: y\x1b[2Jzzz" in message and len(message) < 1000


def test_threads_tell_it_in_turn(state, monkeypatch):
    told = []
    monkeypatch.setattr(channel_state, "log_later", lambda level, *message: told.append(level))

    def work(direction):
        for _ in range(2000):
            state.fails(direction, ConnectionError())
            state.works(direction)

    threads = [threading.Thread(target=work, args=[direction]) for direction in (SENDING, RECEIVING)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [logging.WARNING, logging.INFO] * (len(told) // 2) and told
    assert state.error is None


def test_a_replication_tells_it(told):
    channel = MemoryChannel()
    cache = SessionCache.from_secret(secrets.token_bytes(32), size=2 << 20)
    with cache.replicate(channel) as replication:
        until(lambda: channel.batches)
        assert told(0) == []
        channel.down = True
        until(lambda: replication.error)
        channel.down = False
        until(lambda: replication.error is None)
        assert [level for level, _ in told(2)] == ["WARNING", "INFO"]
    assert told(2)
