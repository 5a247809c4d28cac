"""A SessionCache of the hook: contexts that come after one another use it, and those of other processes too."""

import pickle
import ssl
from types import SimpleNamespace

import pytest
import trustme
from authorities import revocation_list
from readme import names_in_docs
from tickets import visit

from pysidctx import SessionCache, TicketKeys
from pysidctx.servers import SSLContextFactory
from pysidctx.servers.carried_settings import HandedOut
from pysidctx.sharing import cache_on

SECRET = bytes(range(32))


@pytest.fixture
def cache():
    return SessionCache(size=1 << 20)


@pytest.fixture
def keys():
    return TicketKeys()


@pytest.fixture
def config(pem_files):
    return SimpleNamespace(certfile=str(pem_files[0]), ca_certs=str(pem_files[1]))


@pytest.fixture
def build(config):
    def building():
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(config.certfile)
        ctx.load_verify_locations(config.ca_certs)
        ctx.verify_mode = ssl.CERT_REQUIRED
        return ctx
    return building


@pytest.fixture
def client_ctx(make_client_ctx, version):
    return make_client_ctx(version)


@pytest.fixture
def renew(config):
    """Has a context's successor built, of files that say the same."""
    def renewing(kept):
        with open(config.certfile, "ab") as file:
            file.write(b"\n")
        former = kept.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True).context
        assert former is not kept
    return renewing


def by_cache(cache, ctx, client_ctx, session):
    """Whether a session is resumed, and by the cache."""
    hits = cache.stats().hits
    resumed, session = visit(ctx, client_ctx, session)
    assert cache.stats().hits == hits + resumed
    return resumed, session


def test_sessions_outlive_the_context_that_made_them(keys, cache, config, build, renew, client_ctx):
    kept = SSLContextFactory(keys, cache=cache)(config, build)
    _, session = visit(kept, client_ctx)
    for _ in range(3):
        resumed, session = by_cache(cache, kept, client_ctx, session)
        assert resumed
        renew(kept)
    assert keys.stats().issued == 0


def test_another_certificate_ends_them(keys, cache, config, build, client_ctx, ca):
    kept = SSLContextFactory(keys, cache=cache)(config, build)
    _, session = visit(kept, client_ctx)
    ca.issue_cert("a.test").private_key_and_cert_chain_pem.write_to_path(config.certfile)
    assert not visit(kept, client_ctx, session)[0]


def test_contexts_of_other_trust_never_share(keys, cache, config, build, client_ctx, ca, tmp_path):
    """Nor do those of another name, as two applications have that share a memory."""
    other_ca = trustme.CA(key_type=trustme.KeyType.ECDSA)

    revocations = tmp_path / "revoked.pem"
    revocations.write_bytes(revocation_list(ca))

    def optional():
        ctx = build()
        ctx.verify_mode = ssl.CERT_OPTIONAL
        return ctx

    def trusting_more():
        ctx = build()
        other_ca.configure_trust(ctx)
        return ctx

    def revoking():
        ctx = build()
        ctx.load_verify_locations(revocations)
        ctx.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        return ctx

    factory = SSLContextFactory(keys, cache=cache)
    contexts = [factory(config, make) for make in (build, optional, trusting_more, revoking)]
    contexts.append(SSLContextFactory(keys, cache=cache, id_context=b"shop")(config, build))
    config.certfile += ".other"
    ca.issue_cert("a.test").private_key_and_cert_chain_pem.write_to_path(config.certfile)
    contexts.append(factory(config, build))
    for number, ctx in enumerate(contexts):
        _, session = visit(ctx, client_ctx)
        assert [visit(other, client_ctx, session)[0] for other in contexts] == [
            other == number for other in range(len(contexts))]


@pytest.mark.parametrize("when", ["client-certificates", "always"])
@pytest.mark.parametrize("renewed_first", [False, True])
def test_one_that_is_installed_on_the_returned_context_is_copied(
    keys, cache, config, build, renew, client_ctx, make_client_ctx, version, when, renewed_first
):
    """With the connections that it is for, which differ only where a client certificate is not requested."""
    kept = SSLContextFactory(keys, cache=SessionCache(size=1 << 20))(config, build)
    if renewed_first:
        renew(kept)
    kept.verify_mode = ssl.CERT_NONE
    with pytest.warns(RuntimeWarning, match="almost no effect"):
        renew(kept)
    if when == "always":
        cache.install(kept, when)
    else:
        with pytest.warns(RuntimeWarning, match="almost no effect"):
            cache.install(kept)
    for _ in range(2):
        stored, issued = cache.stats().stored, keys.stats().issued
        visit(kept, client_ctx)
        assert (cache.stats().stored > stored) == (when == "always")
        assert (keys.stats().issued > issued) == (when != "always")
        with pytest.warns(RuntimeWarning, match="almost no effect"):
            renew(kept)


def test_other_connections_that_it_is_for_are_copied(keys, cache, config, build, renew, client_ctx):
    """The cache itself stays the same."""
    with pytest.warns(RuntimeWarning, match="almost no effect"):
        kept = SSLContextFactory(keys, cache=cache)(config, lambda: free_of(build()))
    cache.install(kept, "always")
    with pytest.warns(RuntimeWarning, match="almost no effect"):
        renew(kept)
    _, session = visit(kept, client_ctx)
    assert by_cache(cache, kept, client_ctx, session)[0]


def free_of(ctx):
    ctx.verify_mode = ssl.CERT_NONE
    return ctx


def test_one_that_the_function_installs_is_kept(keys, cache, config, build, renew, client_ctx):
    """For all connections, which the factory does not offer."""
    def building():
        ctx = free_of(build())
        cache.install(ctx, "always")
        return ctx

    kept = SSLContextFactory(keys)(config, building)
    _, session = visit(kept, client_ctx)
    for _ in range(2):
        renew(kept)
        resumed, session = by_cache(cache, kept, client_ctx, session)
        assert resumed
    assert keys.stats().issued == 0


def test_one_that_is_uninstalled_is_not_used_again(keys, cache, config, build, renew, client_ctx):
    kept = SSLContextFactory(keys, cache=cache)(config, build)
    cache.uninstall(kept)
    for _ in range(2):
        renew(kept)
        visit(kept, client_ctx)
    assert cache.stats().stored == 0
    assert keys.stats().issued > 0


@pytest.mark.parametrize("asked_by", ["connection", "call"])
def test_what_is_changed_on_an_earlier_context_counts_at_once(
    keys, cache, config, build, renew, client_ctx, asked_by
):
    """Also that the same cache is now for other connections. Nothing is renewed after the change."""
    factory = SSLContextFactory(keys)
    kept = factory(config, build)
    renew(kept)

    def stores():
        stored = cache.stats().stored
        visit(kept if asked_by == "connection" else factory(config, build), client_ctx)
        return cache.stats().stored > stored

    assert not stores()
    cache.install(kept)
    assert stores()
    kept.verify_mode = ssl.CERT_NONE
    with pytest.warns(RuntimeWarning, match="almost no effect"):
        cache.install(kept)
    assert not stores()
    cache.install(kept, "always")
    assert stores()
    cache.uninstall(kept)
    assert not stores()


def test_each_change_is_noticed_and_copied_once(cache, make_server_ctx):
    """As it must be where a renewal comes between the choice of the context and the change of it."""
    source, target = (make_server_ctx(verify=ssl.CERT_REQUIRED) for _ in range(2))
    handed_out, its = HandedOut(source), HandedOut(target)
    for change in (cache.install, lambda ctx: cache.install(ctx, "always"), SessionCache(size=1 << 20).install):
        assert not handed_out.has_changed(source)
        change(source)
        assert handed_out.has_changed(source)
        assert cache_on(target) != cache_on(source)
        handed_out.carry(source, target, its)
        assert cache_on(target) == cache_on(source)
        change(source)
        assert not handed_out.has_changed(source)
    assert cache_on(make_server_ctx()) is None


def test_two_caches_of_one_address_are_told_apart(keys, config, build, renew, client_ctx):
    """The second one may get the memory of the first."""
    kept = SSLContextFactory(keys)(config, build)
    for _ in range(5):
        cache = SessionCache(size=1 << 20)
        cache.install(kept)
        _, session = visit(kept, client_ctx)
        assert by_cache(cache, kept, client_ctx, session)[0]
        cache.uninstall(kept)
        del cache


@pytest.fixture
def secret_file(key_file):
    return key_file("secret", SECRET)


def test_a_factory_with_a_file_is_pickled(secret_file, tmp_path, config, build, client_ctx):
    keys = TicketKeys.from_secret_file(secret_file)
    cache = SessionCache.from_secret_file(secret_file, memory=tmp_path / "memory", size=1 << 20)
    factory = SSLContextFactory(keys, cache=cache)
    text = pickle.dumps(factory)
    assert SECRET[:16] not in text
    other = pickle.loads(text)
    _, session = visit(factory(config, build), client_ctx)
    assert by_cache(other._cache, other(config, build), client_ctx, session)[0]


def test_the_documentation_s_contexts_share_a_file(secret_file, tmp_path, monkeypatch, ca, pem_files, client_ctx):
    """And its client is forgotten: the memory is found by a third process that has the secret."""
    ca.cert_pem.write_to_path(tmp_path / "clients-ca.pem")
    monkeypatch.chdir(tmp_path)
    make = names_in_docs("certified_context")["certified_context"]
    one, other = (make(str(secret_file), str(tmp_path / "memory")) for _ in range(2))
    _, session = visit(one, client_ctx)
    resumed, session = visit(other, client_ctx, session)
    assert resumed
    certificates = []
    visit(one, client_ctx, before=lambda ends: certificates.append(ends.server))
    cache = SessionCache.from_secret_file(secret_file, memory=tmp_path / "memory")
    names_in_docs("forget_client")["forget_client"](cache, certificates[0].getpeercert(True))
    assert not visit(other, client_ctx, session)[0]


def test_anonymous_memory_is_not_pickled(secret_file, cache):
    factory = SSLContextFactory(TicketKeys.from_secret_file(secret_file), cache=cache)
    with pytest.raises(TypeError, match="memory=path"):
        pickle.dumps(factory)


@pytest.mark.parametrize("given", ["/dev/shm/shop", b"shop", SessionCache, TicketKeys()])
def test_what_is_no_cache_is_refused(keys, given):
    with pytest.raises(TypeError, match="cache must be a SessionCache"):
        SSLContextFactory(keys, cache=given)
