"""The id context, the lifetime and the period that the environment sets: where they are in force, and errors."""

import os
import subprocess
import sys
import warnings
from types import SimpleNamespace

import pytest
from forks import in_a_fork
from tickets import visit

import pysidctx
from pysidctx import SessionCache, TicketKeys
from pysidctx.environment import CACHE, CACHE_SIZE, ID_CONTEXT, LIFETIME, PERIOD, PREFIX, SECRET_FILE
from pysidctx.servers import factory as servers

READERS = {"TicketKeys": TicketKeys.from_secret_file, "SessionCache": SessionCache.from_secret_file}


@pytest.fixture
def secret_file(key_file):
    return key_file("secret", bytes(range(32)))


@pytest.fixture
def environment(monkeypatch, secret_file):
    """Sets variables of pysidctx, beside that of the secret; None removes one."""
    for name in os.environ:
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.setenv(SECRET_FILE, str(secret_file))

    def setting(**changed):
        for name, value in changed.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, str(value))

    return setting


@pytest.fixture
def process(monkeypatch, environment):
    """The hook of a process that imports it in an environment."""
    def importing(**changed):
        environment(**changed)
        monkeypatch.setattr(servers, "_default", servers.Default())
        return servers.ssl_context_factory
    return importing


@pytest.fixture
def config(pem_files):
    return SimpleNamespace(certfile=str(pem_files[0]), workers=1)


@pytest.mark.parametrize("secret", [True, False], ids=["secret", "random keys"])
def test_the_times_of_the_hook_s_keys(environment, process, secret):
    environment(**{} if secret else {SECRET_FILE: None})
    process()
    assert (servers.ticket_keys().period, servers.ticket_keys().lifetime) == (3600, 86400)
    process(**{PERIOD: 60, LIFETIME: 600})
    assert (servers.ticket_keys().period, servers.ticket_keys().lifetime) == (60, 600)
    environment(**{LIFETIME: 30})  # shorter than a period, which is allowed
    assert (servers.ticket_keys().period, servers.ticket_keys().lifetime) == (60, 30)


def test_they_are_those_of_its_cache_too(process, tmp_path):
    process(**{PERIOD: 60, LIFETIME: 600, CACHE: tmp_path / "memory", CACHE_SIZE: 1 << 20})
    assert servers.session_cache().lifetime == 600
    with pytest.raises(ValueError, match="made with a period of 60 seconds"):
        SessionCache.from_secret_file(memory=tmp_path / "memory", size=1 << 20, period=3600)


def test_sessions_live_so_long(process, config, build, client_ctx):
    ctx = process(**{LIFETIME: 77})(config, build)
    _, session = visit(ctx, client_ctx)
    assert session.ticket_lifetime_hint == 77


def test_processes_with_another_period_share_nothing(process, config, build, client_ctx):
    _, session = visit(process(**{PERIOD: 600})(config, build), client_ctx)
    assert visit(process(**{PERIOD: 600})(config, build), client_ctx, session)[0]
    assert not visit(process(**{PERIOD: 601})(config, build), client_ctx, session)[0]


@pytest.mark.parametrize("name, octets", [
    ("shop", b"shop"), ("Bäckerei", "Bäckerei".encode()), ("x" * 32, b"x" * 32), (os.fsdecode(b"\xff"), b"\xff"),
], ids=["ASCII", "UTF-8", "32 bytes", "no text"])
def test_the_id_context_is_the_name_of_the_application(process, config, build, client_ctx, name, octets):
    ctx = process(**{ID_CONTEXT: name})(config, build)
    _, session = visit(ctx, client_ctx)
    same = pysidctx.resumable(build(), TicketKeys.from_secret_file(), id_context=octets)
    assert visit(same, client_ctx, session)[0]
    assert not visit(process(**{ID_CONTEXT: "other"})(config, build), client_ctx, session)[0]
    assert not visit(process(**{ID_CONTEXT: None})(config, build), client_ctx, session)[0]


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_they_are_read_with_the_secret_of_the_environment(environment, secret_file, read):
    """What is passed wins, and with another secret, the variables mean nothing."""
    environment(**{PERIOD: 60, LIFETIME: 600})
    assert read().lifetime == 600
    assert read(lifetime=700).lifetime == 700
    assert read(secret_file).lifetime == 86400
    if read is TicketKeys.from_secret_file:
        assert [read().period, read(period=70).period, read(secret_file).period] == [60, 70, 3600]


BAD = {
    (ID_CONTEXT, ""): "PYSIDCTX_ID_CONTEXT is empty: set it to a name of at most 32 bytes, or remove it",
    (ID_CONTEXT, "x" * 33): "PYSIDCTX_ID_CONTEXT is 33 bytes long: set it to a name of at most 32 bytes, or remove it",
    (ID_CONTEXT, "ä" * 17): "PYSIDCTX_ID_CONTEXT is 34 bytes long: set it to",
    **{(name, value): f"{name} is {message}: set it to a number of seconds, 1 to 604800, or remove it"
       for name in (LIFETIME, PERIOD) for value, message in {
           "": "empty", "1d": "'1d', which is not a whole number", "0.5": "'0.5', which is not a whole number",
           "0": "0, which is out of range", "-1": "-1, which is out of range",
           "604801": "604801, which is out of range"}.items()},
    (PERIOD, "60"): "a lifetime of 86400 seconds is more than 1000 periods of 60 seconds: choose a period of at least "
                    "87 seconds; the environment variable PYSIDCTX_PERIOD is 60",
}


@pytest.mark.parametrize("name, value", BAD)
def test_bad_values_are_errors(process, environment, name, value):
    with pytest.raises(ValueError) as caught:
        process(**{name: value})
    assert BAD[name, value] in str(caught.value)
    if name != ID_CONTEXT:
        for read in READERS.values():
            with pytest.raises(ValueError) as caught:
                read()
            assert BAD[name, value] in str(caught.value)


def test_times_that_exclude_each_other(process):
    with pytest.raises(ValueError, match=f"60 seconds: .*; .* {PERIOD} is 60; .* {LIFETIME} is 60001"):
        process(**{PERIOD: 60, LIFETIME: 60001})
    process(**{PERIOD: 60, LIFETIME: 60000})


def test_an_import_of_the_hook_tells(environment):
    environment(**{LIFETIME: "soon"})
    ran = subprocess.run([sys.executable, "-c", "import pysidctx.servers"], capture_output=True, text=True)
    assert ran.returncode == 1
    assert "ValueError: the environment variable PYSIDCTX_LIFETIME is 'soon'" in ran.stderr


@pytest.mark.parametrize("name, value, message", [
    (ID_CONTEXT, "shop", "PYSIDCTX_ID_CONTEXT has no effect: no id_context was passed"),
    (LIFETIME, "600", "PYSIDCTX_LIFETIME=600 has no effect on the keys, which have a lifetime of 86400 seconds"),
    (PERIOD, "600", "PYSIDCTX_PERIOD=600 has no effect on the keys, which have a period of 3600 seconds"),
    (PERIOD, "soon", "PYSIDCTX_PERIOD=soon has no effect on the keys, which have a period of 3600 seconds"),
])
@pytest.mark.parametrize("own", [
    lambda config, build, **options: pysidctx.resumable(build(), TicketKeys(), **options),
    lambda config, build, **options: servers.SSLContextFactory(TicketKeys(), **options)(config, build),
], ids=["resumable", "SSLContextFactory"])
def test_a_program_that_disregards_them_warns(environment, config, build, own, name, value, message):
    environment(**{name: value})
    with pytest.warns(RuntimeWarning, match=message) as warned:
        own(config, build)
    assert len(warned) == 1


@pytest.mark.parametrize("options, message", [
    ({"id_context": b"other"}, "another id_context was passed"),
    ({"exact_id_context": b"other"}, "an exact_id_context was passed"),
    ({"id_context": b"shop"}, None), ({"exact_id_context": b"shop"}, None),
])
def test_an_id_context_that_is_not_the_variable_s(environment, build, options, message):
    environment(**{ID_CONTEXT: "shop"})
    told = warned_by(lambda: pysidctx.resumable(build(), TicketKeys(), **options))
    assert [text.partition(". ")[0] for text in told] == (
        [] if message is None else [f"pysidctx: PYSIDCTX_ID_CONTEXT has no effect: {message}"])


def test_a_cache_with_other_times(environment, build):
    environment(**{LIFETIME: 600, PERIOD: 60})
    told, = warned_by(lambda: pysidctx.resumable(build(), TicketKeys(lifetime=600, period=60), cache=SessionCache()))
    assert "PYSIDCTX_LIFETIME=600 has no effect on the cache, which has a lifetime of 86400 seconds" in told
    assert "PYSIDCTX_PERIOD=60 has no effect on the cache, which has a period of 3600 seconds" in told
    assert "the keys" not in told
    cache = SessionCache(lifetime=600, period=60)
    assert not warned_by(lambda: pysidctx.resumable(build(), TicketKeys(lifetime=600, period=60), cache=cache))


def test_keys_from_files_have_no_period(environment, key_file, build):
    environment(**{PERIOD: 600})
    keys = TicketKeys.from_files([key_file("key", bytes(range(80)))])
    told, = warned_by(lambda: pysidctx.resumable(build(), keys))
    assert "PYSIDCTX_PERIOD=600 has no effect on the keys, which come from files and have no period. " in told


def warned_by(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    told = [str(warning.message) for warning in caught]
    return [text for text in told if "pysidctx.servers.ssl_context_factory" in text]


def test_the_hook_and_what_has_read_them_do_not_warn(process, config, build):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hook = process(**{ID_CONTEXT: "shop", LIFETIME: "600", PERIOD: " 60 "})
        hook(config, build)
        pysidctx.resumable(build(), TicketKeys.from_secret_file(), id_context=b"shop")


def test_forked_workers_use_what_was_read_before(process, config, build, client_ctx):
    hook = process(**{ID_CONTEXT: "shop", LIFETIME: 600})
    _, session = visit(hook(config, build), client_ctx)
    assert in_a_fork(lambda: visit(hook(config, build), client_ctx, session)[0]
                     and servers.ticket_keys().lifetime == 600)


def test_forget_takes_the_period_of_the_memory(environment, tmp_path):
    """Also if it is so short that the default of the lifetime would be too long for it."""
    memory = tmp_path / "memory"
    environment(**{PERIOD: 60, LIFETIME: 600})
    cache = SessionCache.from_secret_file(memory=memory, size=1 << 20)
    for values in {PERIOD: None, LIFETIME: None}, {PERIOD: 3600, LIFETIME: 86400}:
        environment(**values)
        ran = subprocess.run([sys.executable, "-m", "pysidctx", "forget", "--cache", memory, "--all"],
                             capture_output=True, text=True)
        assert (ran.returncode, ran.stderr) == (0, "")
    assert cache.stats().stored == 0
