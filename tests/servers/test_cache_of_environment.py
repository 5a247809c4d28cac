"""The SessionCache that the hook opens for the environment: what it needs, and that tickets do where it fails."""

import contextlib
import os
import pickle
import resource
import ssl
import warnings
from types import SimpleNamespace

import pytest
import trustme
from forks import in_a_fork
from tickets import visit

from pysidctx import SessionCache, TicketKeys
from pysidctx.environment import CACHE, CACHE_SIZE, CACHE_WHEN, SECRET_FILE
from pysidctx.servers import factory as servers

SIZE = 1 << 20


@pytest.fixture
def secret_file(key_file):
    return key_file("secret", bytes(range(32)))


@pytest.fixture
def memory(tmp_path):
    return tmp_path / "memory"


@pytest.fixture
def environment(monkeypatch, secret_file, memory):
    """Sets the variables, and others to None to remove them."""
    def setting(**changed):
        values = {SECRET_FILE: secret_file, CACHE: memory, CACHE_SIZE: SIZE, CACHE_WHEN: None, **changed}
        for name, value in values.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, str(value))
    setting()
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield setting
    resource.setrlimit(resource.RLIMIT_FSIZE, most)


@pytest.fixture
def process(monkeypatch):
    """What a process that imports the hook has then: the hook itself, and its cache."""
    def importing():
        monkeypatch.setattr(servers, "_default", servers.Default())
        return servers.ssl_context_factory, servers.session_cache()
    return importing


@pytest.fixture
def config(pem_files):
    return SimpleNamespace(certfile=str(pem_files[0]), ca_certs=str(pem_files[1]), workers=4)


@pytest.fixture
def build(config):
    def building():
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(config.certfile)
        ctx.load_verify_locations(config.ca_certs)
        ctx.verify_mode = ssl.CERT_REQUIRED
        return ctx
    return building


def test_processes_share_it(environment, process, config, build, make_client_ctx, version, memory):
    hook, cache = process()
    assert (cache.memory, cache.size) == (str(memory), SIZE)
    assert servers.session_cache() is cache
    client_ctx = make_client_ctx(version)
    _, session = visit(hook(config, build), client_ctx)
    hook, other = process()
    assert other is not cache
    assert visit(hook(config, build), client_ctx, session)[0]
    assert other.stats().hits == 1


def test_applications_that_differ_share_the_memory_and_no_session(
    environment, process, config, build, make_client_ctx, version, ca, tmp_path
):
    """In their certificate, in the CAs of their clients, or in whether they demand a certificate."""
    other_ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
    files = {name: str(tmp_path / name) for name in ("other.pem", "other-ca.pem")}
    ca.issue_cert("a.test", key_type=trustme.KeyType.ECDSA).private_key_and_cert_chain_pem.write_to_path(
        files["other.pem"])
    with open(files["other-ca.pem"], "wb") as file:
        file.write(ca.cert_pem.bytes() + other_ca.cert_pem.bytes())

    def build_of(verify=ssl.CERT_REQUIRED, **changed):
        settings = SimpleNamespace(**{**vars(config), **changed})

        def building():
            ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            ctx.load_cert_chain(settings.certfile)
            ctx.load_verify_locations(settings.ca_certs)
            ctx.verify_mode = verify
            return ctx

        return settings, building

    applications = [build_of(), build_of(certfile=files["other.pem"]), build_of(ca_certs=files["other-ca.pem"]),
                    build_of(ssl.CERT_OPTIONAL)]
    client_ctx = make_client_ctx(version)
    contexts = [process()[0](*application) for application in applications]
    for number, ctx in enumerate(contexts):
        _, session = visit(ctx, client_ctx)
        assert [visit(other, client_ctx, session)[0] for other in contexts] == [
            number == other for other in range(len(contexts))]


def test_none_without_the_variable(environment, process, config, build, client_ctx):
    environment(**{CACHE: None, CACHE_SIZE: None})
    hook, cache = process()
    assert cache is None
    _, session = visit(hook(config, build), client_ctx)
    assert visit(hook(config, build), client_ctx, session)[0]


def test_the_size_has_a_default(environment, process, memory):
    environment(**{CACHE_SIZE: None})
    assert process()[1].size == memory.stat().st_size == 64 << 20
    memory.unlink()


@pytest.mark.parametrize("when", [None, "client-certificates", "always"])
@pytest.mark.parametrize("verify", [ssl.CERT_NONE, ssl.CERT_REQUIRED], ids=lambda verify: verify.name)
def test_which_sessions_are_stored(environment, process, config, build, client_ctx, when, verify):
    environment(**{CACHE_WHEN: when})
    hook, cache = process()
    stores = verify or when == "always"

    def building():
        ctx = build()
        ctx.verify_mode = verify
        return ctx

    warned = pytest.warns(RuntimeWarning, match="or set PYSIDCTX_CACHE_WHEN=always")
    with contextlib.nullcontext() if stores else warned:
        ctx = hook(config, building)
    _, session = visit(ctx, client_ctx)
    assert visit(ctx, client_ctx, session)[0]
    assert (cache.stats().hits > 0) == bool(stores)


def test_what_default_factory_has_installed_stays_so(config, build, client_ctx):
    """Of the same cache: it was asked for before the factory's own default."""
    cache = SessionCache(size=SIZE)

    def building():
        ctx = build()
        ctx.verify_mode = ssl.CERT_NONE
        cache.install(ctx, when="always")
        return ctx

    visit(servers.SSLContextFactory(TicketKeys(), cache=cache)(config, building), client_ctx)
    assert cache.stats().stored > 0


def test_a_pickled_factory_stores_the_same(secret_file, memory, config, build):
    made = servers.SSLContextFactory(
        TicketKeys.from_secret_file(secret_file), cache_when="always",
        cache=SessionCache.from_secret_file(secret_file, memory=memory, size=SIZE))
    read = pickle.loads(pickle.dumps(made))
    assert read._cache._when_on(read(config, build)) == "always"


def test_one_that_is_named_later(environment, process, config, build, client_ctx):
    environment(**{CACHE: None, CACHE_SIZE: None})
    hook, _ = process()
    before = hook(config, build)
    environment()
    after = hook(config, build)
    assert after is not before
    cache = servers.session_cache()
    visit(after, client_ctx)
    assert cache.stats().stored > 0
    assert hook(config, build) is after


def test_forked_workers_use_what_was_opened_before(environment, process, config, build, client_ctx):
    hook, cache = process()
    _, session = visit(hook(config, build), client_ctx)
    assert in_a_fork(lambda: visit(hook(config, build), client_ctx, session)[0] and servers.session_cache() is cache)


# What makes it unusable, with the error, of which the warning has the reason.
def too_large(memory, environment):
    """For this process; a size that is too large for the disk would fill it for a moment."""
    memory.unlink()
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE // 2, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def too_small(memory, environment):
    environment(**{CACHE_SIZE: 1000})


def of_another_size(memory, environment):
    environment(**{CACHE_SIZE: 2 * SIZE})


def of_another_secret(memory, environment):
    memory.unlink()
    SessionCache.from_secret(bytes(32), memory=memory, size=SIZE)


def readable_by_others(memory, environment):
    memory.chmod(0o644)


def truncated(memory, environment):
    os.truncate(memory, 5000)


def something_else(memory, environment):
    memory.write_bytes(b"x" * SIZE)


def a_folder(memory, environment):
    environment(**{CACHE: memory.parent})


def a_link(memory, environment):
    memory.rename(memory.with_name("other"))
    memory.symlink_to("other")


def nowhere(memory, environment):
    environment(**{CACHE: memory / "there"})


def without_a_secret(memory, environment):
    environment(**{SECRET_FILE: None})


REASONS = {
    too_large: "File too large",
    too_small: "size must be",
    of_another_size: "pass size=1048576",
    of_another_secret: "made with another secret",
    readable_by_others: "has mode 0644",
    truncated: "was truncated",
    something_else: "not the memory of a SessionCache",
    a_folder: "Is a directory|not a regular file",
    a_link: "a symbolic link",
    nowhere: "Not a directory",
    without_a_secret: "PYSIDCTX_SECRET_FILE is not set",
}


@pytest.mark.parametrize("spoil", REASONS, ids=lambda spoil: spoil.__name__)
def test_one_that_cannot_be_used_is_told_once_and_tickets_do(
    environment, process, config, build, client_ctx, memory, spoil
):
    process()
    spoil(memory, environment)
    before = state(memory)
    with pytest.warns(RuntimeWarning, match=REASONS[spoil]) as warned:
        hook, cache = process()
    (warning,) = warned
    assert "pysidctx: no sessions are stored, and clients get tickets" in str(warning.message)
    assert "PYSIDCTX_" in str(warning.message)
    assert cache is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, session = visit(hook(config, build), client_ctx)
        assert visit(hook(config, build), client_ctx, session)[0]
    assert state(memory) == before


def state(path):
    with contextlib.suppress(FileNotFoundError):
        return path.lstat().st_ino, path.lstat().st_size, path.lstat().st_mtime_ns, path.read_bytes()


@pytest.mark.parametrize("name, value", [(CACHE_SIZE, SIZE), (CACHE_WHEN, "always")])
def test_what_concerns_no_cache_has_no_effect(environment, process, name, value):
    environment(**{CACHE: None, CACHE_SIZE: None, name: value})
    with pytest.warns(RuntimeWarning, match="PYSIDCTX_CACHE is not set: set it to a path"):
        assert process()[1] is None


@pytest.mark.parametrize("name, value, message", [
    (CACHE, "", "PYSIDCTX_CACHE is empty: set it to a path"),
    (CACHE_SIZE, "", "PYSIDCTX_CACHE_SIZE is empty: set it to a number of bytes"),
    (CACHE_WHEN, "", "PYSIDCTX_CACHE_WHEN is empty: set it to always, or to client-certificates"),
    (CACHE_WHEN, "Always", "PYSIDCTX_CACHE_WHEN is 'Always': set it to always, or to client-certificates"),
    (CACHE_SIZE, "64M", "PYSIDCTX_CACHE_SIZE is '64M', which is not a whole number: set it to a number of bytes"),
])
def test_variables_without_a_meaning_are_errors(environment, process, name, value, message):
    environment(**{name: value})
    with pytest.raises(ValueError, match=message):
        process()


@pytest.mark.parametrize("made_here", [False, True])
def test_a_worker_s_own_cache_warns(config, build, made_here, monkeypatch):
    """As its own keys do: one that was made in a function, after the fork."""
    monkeypatch.setattr(servers.multiprocessing, "parent_process", lambda: object())
    keys = TicketKeys.from_secret(bytes(32))
    if made_here:
        with pytest.warns(RuntimeWarning, match="the other workers cannot resume the sessions that it stores"):
            servers.SSLContextFactory(keys, cache=SessionCache(size=SIZE))(config, build)
        return
    cache = SessionCache(size=SIZE)
    assert in_a_fork(lambda: quiet(servers.SSLContextFactory(keys, cache=cache), config, build))


def quiet(factory, config, build):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return bool(factory(config, build))
