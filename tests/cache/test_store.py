"""What is stored of a session is found again, by any process, for as long as it is to be."""


import libssl
import pytest
from handshakes import VERSIONS

DAY = 86400
NOW = 2_000_000_000


@pytest.fixture
def stored(make_stored):
    """A server's connection without tickets, and its session with its id."""
    server, session = make_stored(VERSIONS[0])
    return libssl.pointer(server), session, libssl.session_id(session)


@pytest.fixture
def finds(stored):
    """Whether a store finds the session at a time, with its peer."""
    connection, session, id = stored

    def find(store, now, id=id):
        found = store.find(connection, id, now)
        if found is None:
            return False
        der = libssl.der_of(found)
        assert (libssl.session_id(found), libssl.master_key(der)) == (id, libssl.master_key(libssl.der_of(session)))
        libssl.SSL_SESSION_free(found)
        return True

    return find


def test_another_process_finds_it(stores, stored, finds):
    first = stores.Store()
    second = stores.Store(file=first.file)
    assert first.store(stored[1], NOW, NOW + 10 * DAY, NOW)
    assert finds(second, NOW) and finds(second, NOW + DAY - 1)
    assert not finds(second, NOW + DAY)
    assert second.stats().peers_decoded == 1


@pytest.mark.parametrize("later", range(0, DAY + DAY // 4, 3600))
def test_peers_are_there_for_as_long_as_their_sessions(stores, stored, finds, later):
    """Those of a second session too, which is stored while the first one's peer is there still."""
    first = stores.Store()
    assert first.store(stored[1], NOW, NOW + 10 * DAY, NOW)
    full = NOW + later
    assert first.store(stored[1], full, NOW + 10 * DAY, full)
    for now in (full, full + DAY - 1):
        assert finds(stores.Store(file=first.file), now), stores.Store(file=first.file)
    assert not finds(stores.Store(file=first.file), full + DAY)


@pytest.mark.parametrize("ahead", [0, 1, 3600, DAY - 1])
def test_forgotten_while_the_clock_was_ahead(stores, stored, finds, ahead):
    """Sessions that were made before the clock was set back are not revived once their time has come."""
    store = stores.Store()
    full = NOW + ahead
    assert store.store(stored[1], full, NOW + 10 * DAY, full)
    store.forget_all(NOW)
    for now in (NOW, full, full + 1, full + DAY - 1):
        assert not finds(store, now) and not finds(stores.Store(file=store.file), now)
    assert store.store(stored[1], full + 1, NOW + 10 * DAY, full + 1)
    assert finds(store, full + 1)


def test_a_time_that_cannot_be_is_not_believed(stores, stored, finds):
    """The time in the memory is not sealed. The next session that is stored corrects it."""
    store = stores.Store()
    store.memory[4096 + 8:4096 + 16] = b"\xff" * 8
    store.forget_all(NOW)
    for full in (NOW + 1, NOW + 3600):
        assert store.store(stored[1], full, NOW + 10 * DAY, full)
        assert finds(store, full)
    store.forget_all(NOW + 2)
    assert not finds(store, NOW + 3601)


def test_a_peer_that_is_torn_is_stored_again(stores, stored, finds):
    """For example, because two processes wrote it at once."""
    first = stores.Store()
    assert first.store(stored[1], NOW, NOW + 10 * DAY, NOW)
    begin, end = first.peers
    tear(first.memory[begin:end])
    assert not finds(stores.Store(file=first.file), NOW)
    assert first.store(stored[1], NOW, NOW + 10 * DAY, NOW)
    assert finds(stores.Store(file=first.file), NOW)


def tear(slots):
    """Change each body's last bytes that are not 0, but no set's tags and ends."""
    set_size = 8 * (16 + 32 + 1024)
    for begin in range(0, len(slots), set_size):
        for body in range(begin + 128, begin + set_size, 32 + 1024):
            slots[body + 40] ^= slots[body + 40] and 1 or 0
