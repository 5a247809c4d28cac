"""The slab and its seals: an entry is found as it was written, or not at all."""

import os
import struct
import threading

import pytest
from forks import forked, in_a_fork
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NOW = 2_000_000_000
DAY = 86400
MOST = 272
WAYS = 8
SET_SIZE = WAYS * (16 + 32 + MOST)
# Where the first entry of an empty set goes: its end and length, and its body.
FIRST = WAYS - 1
END, BODY = 8 * (WAYS + FIRST), 16 * WAYS + FIRST * (32 + MOST)


@pytest.fixture(scope="module")
def keys(stores):
    return stores.Keys()


def names(rng, count, set=None):
    """Names at random; `set`: whose entries lie in one set, the first of so many."""
    made = []
    for _ in range(count):
        name = bytearray(rng.randbytes(32))
        if set is not None:
            name[4:8] = name[20:24] = bytes(4)
        made.append(bytes(name))
    return made


def test_entries_are_found_as_they_were_written(stores, keys, rng):
    region = stores.Region(50)
    written = {name: rng.randbytes(rng.randrange(MOST + 1)) for name in names(rng, 100)}
    assert [region.write(keys, name, data, NOW + 100, NOW) for name, data in written.items()] == [0] * 100
    for name, data in written.items():
        assert region.read(keys, name, NOW) == [(NOW + 100, data)]
        assert region.end_of(name) == NOW + 100
    assert region.count(NOW) == 100 and region.count(NOW + 100) == 0
    assert not region.read(keys, rng.randbytes(32), NOW)
    assert region.write(keys, name, b"again", NOW + 200, NOW) == 1
    assert region.read(keys, name, NOW) == [(NOW + 200, b"again")]


def test_of_a_full_set_what_ends_first_goes(stores, keys, rng):
    region = stores.Region(2)
    written = names(rng, 2 * WAYS, set=0)
    ends = [NOW + 100 + number for number in range(WAYS)]
    rng.shuffle(ends)
    for name, end in zip(written, ends):
        assert region.write(keys, name, b"x", end, NOW) == 0
    for number, name in enumerate(written[WAYS:]):
        assert region.write(keys, name, b"y", NOW + 1000, NOW) == 2
        left = {region.end_of(former) for former in written[:WAYS]} - {0}
        assert left == {end for end in ends if end > NOW + 100 + number}
    # What has ended is no loss.
    assert region.write(keys, written[0], b"z", NOW + 3000, NOW + 2000) == 0


def test_a_second_set_takes_what_the_first_has_no_place_for(stores, keys, rng):
    region = stores.Region(200)
    written = names(rng, 800)  # half of it
    assert 2 not in [region.write(keys, name, b"x", NOW + 100, NOW) for name in written]
    assert all(region.read(keys, name, NOW) for name in written)


def test_names_with_the_same_tag_replace_each_other(stores, keys, rng):
    region = stores.Region(1)
    one = names(rng, 1)[0]
    other = bytearray(one)
    other[8] ^= 1  # of which the tag says nothing
    other[31] ^= 1
    region.write(keys, one, b"one", NOW + 100, NOW)
    assert region.read(keys, bytes(other), NOW) == [(NOW + 100, None)]
    region.write(keys, bytes(other), b"other", NOW + 100, NOW)
    assert region.read(keys, bytes(other), NOW) == [(NOW + 100, b"other")]
    assert region.read(keys, one, NOW) == [(NOW + 100, None)]


def test_memory_full_of_anything_takes_as_many_entries_as_empty_memory(stores, keys, rng):
    for filling in (b"\xff" * SET_SIZE * 4, rng.randbytes(SET_SIZE * 4)):
        region = stores.Region(4)
        region.memory[:] = filling
        written = names(rng, 16)
        assert region.count(NOW) == 0
        assert 2 not in [region.write(keys, name, b"x", NOW + 100, NOW) for name in written]
        assert all((NOW + 100, b"x") in region.read(keys, name, NOW) for name in written)
        assert region.count(NOW) == 16


def test_nothing_but_entries_is_written(stores, keys, rng):
    """The rest of the last word is not what was on the stack."""
    region = stores.Region(1)
    (name,) = names(rng, 1, set=0)
    for length in range(17):
        region.memory[:] = bytes(SET_SIZE)
        region.write(keys, name, bytes(length), NOW + 100, NOW)
        assert region.memory[8 * FIRST] and not any(region.memory[BODY + 32 + length:])


@pytest.mark.parametrize("end, period, length", [
    (2 ** 48 - 1, None, None), (0, None, None), (None, 0, None), (None, 0xffffffff, None), (None, 0xfffffffe, None),
    (None, NOW // 3600 + 1, None), (None, None, 0), (None, None, MOST + 1), (None, None, 0xffff),
], ids=str)
def test_entries_that_say_what_cannot_be_are_not_opened(stores, keys, rng, end, period, length):
    region = stores.Region(1)
    (name,) = names(rng, 1, set=0)
    region.write(keys, name, b"data", NOW + 100, NOW)
    if end is not None or length is not None:
        packed = (NOW + 100 if end is None else end) << 16 | (4 if length is None else length)
        region.memory[END:END + 8] = struct.pack("=Q", packed)
    if period is not None:
        region.memory[BODY:BODY + 4] = struct.pack("=I", period)
    assert [data for _, data in region.read(keys, name, NOW)] in ([], [None])


def test_keys_of_other_periods_and_secrets(stores, keys, rng):
    region = stores.Region(1)
    (name,) = names(rng, 1)
    region.write(keys, name, b"data", NOW + 10 * DAY, NOW)
    found = [(NOW + 10 * DAY, b"data")]
    for now in (NOW - 3600, NOW, NOW + DAY):
        assert region.read(keys, name, now) == found
    for now in (0, NOW - 7200, NOW + DAY + 7200, 2 ** 40):
        assert region.read(keys, name, now) == [(NOW + 10 * DAY, None)]
    for other in (stores.Keys(bytes(31) + b"\1"), stores.Keys(period=3601)):
        assert region.read(other, name, NOW) == [(NOW + 10 * DAY, None)]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, SET_SIZE - 1), st.integers(1, 255)), min_size=1, max_size=8),
       number=st.integers(0, WAYS - 1))
def test_changed_bytes_are_a_miss_or_harmless(stores, keys, rng, changes, number):
    region = stores.Region(1)
    written = [bytes([number]) * 32 for number in range(1, WAYS + 1)]
    for name in written:
        region.write(keys, name, name * 8, NOW + 100, NOW)
    for place, bits in changes:
        region.memory[place] ^= bits
    for name in written:
        for end, data in region.read(keys, name, NOW):
            assert data is None or (end, data) == (NOW + 100, name * 8)
    assert region.count(NOW) <= WAYS
    region.write(keys, written[number], b"new", NOW + 100, NOW)
    assert (NOW + 100, b"new") in region.read(keys, written[number], NOW)


def words_of_put(stores, keys, name, data):
    """The words that a put into an empty set writes, in order, each with its place."""
    region = stores.Region(1)
    region.write(keys, name, data, NOW + 100, NOW)
    places = [END, *range(BODY, BODY + 32 + (len(data) + 7) // 8 * 8, 8), 8 * FIRST]
    return [(8 * FIRST, bytes(8)), *((place, bytes(region.memory[place:place + 8])) for place in places)]


@pytest.mark.parametrize("same", [True, False], ids=["same name", "other name"])
def test_a_writer_that_is_stopped_anywhere_harms_no_other(stores, keys, rng, same):
    """It has written some words, another process takes its place, and it goes on."""
    stopped, other = names(rng, 2, set=0)
    other = stopped if same else other
    steps = words_of_put(stores, keys, stopped, b"stopped" * 8)
    for before in range(len(steps) + 1):
        for after in range(before, len(steps) + 1):
            region = stores.Region(1)
            for place, word in steps[:before]:
                region.memory[place:place + 8] = word
            whole = before == len(steps)
            assert region.read(keys, stopped, NOW) == ([(NOW + 100, b"stopped" * 8)] if whole else [])
            region.write(keys, other, b"other" * 8, NOW + 200, NOW)
            assert (NOW + 200, b"other" * 8) in region.read(keys, other, NOW)
            for place, word in steps[before:after]:
                region.memory[place:place + 8] = word
            for name in (stopped, other):
                assert {data for _, data in region.read(keys, name, NOW)} <= {b"stopped" * 8, b"other" * 8, None}
            # Nothing is lost for long: the next one that is written is found.
            region.write(keys, other, b"again", NOW + 300, NOW)
            assert (NOW + 300, b"again") in region.read(keys, other, NOW)


def test_no_nonce_comes_twice_also_after_forks(stores, keys, rng):
    region = stores.Region(64)
    written = names(rng, 200)

    def write(part):
        for name in part:
            region.write(keys, name, b"x", NOW + 100, NOW)
        return True

    write(written[:10])  # draws more nonces than it uses
    for begin in (10, 70, 130):
        assert in_a_fork(lambda: write(written[begin:begin + 30]))
        write(written[begin + 30:begin + 60])
    nonces = [nonce for name in written[:190] for nonce in set(region.nonces(name))]
    assert len(nonces) >= 190
    assert len(set(nonces)) == len(nonces)


def test_threads_and_processes_read_nothing_wrong(stores, keys):
    """With few names, so that many write the same one. Each is one byte, 32 times."""
    region = stores.Region(1)
    few = [bytes([number]) * 32 for number in range(1, 13)]
    children = []
    for seed in range(2):
        child = forked()
        if child == 0:
            found, wrong, _ = region.write_often(keys, few, seed, 100_000, NOW + 100, NOW)
            os._exit(0 if found and not wrong else 1)
        children.append(child)
    results = []
    threads = [threading.Thread(target=lambda seed=seed: results.append(
        region.write_often(keys, few, seed, 100_000, NOW + 100, NOW))) for seed in (3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert [wrong for _, wrong, _ in results] == [0, 0]
    print(results)
    assert all(found for found, _, _ in results)
