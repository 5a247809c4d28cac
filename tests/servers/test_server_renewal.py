"""What a server's context is built from changes while it serves: certificates, CAs, revocation lists."""

import os
import shutil
import ssl
from pathlib import Path
from types import SimpleNamespace

import pytest
from authorities import revocation_list
from handshakes import VERSIONS
from tickets import visit
from trustme import CA, KeyType

from pysidctx import SessionCache, TicketKeys
from pysidctx.servers import SSLContextFactory


@pytest.fixture
def config(tmp_path, pem_files):
    """A server that demands certificates of a CA whose revocation list has nobody yet."""
    return SimpleNamespace(certfile=str(pem_files[0]), ca_certs=str(pem_files[1]))


@pytest.fixture
def revocations(tmp_path, ca):
    path = tmp_path / "revoked.pem"
    path.write_bytes(revocation_list(ca))
    return path


@pytest.fixture
def build(config, revocations):
    """As servers do, with a revocation list that none of their settings names."""
    def default_factory():
        ctx = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=config.ca_certs)
        ctx.load_cert_chain(config.certfile)
        ctx.load_verify_locations(revocations)
        ctx.verify_mode = ssl.CERT_REQUIRED
        ctx.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        return ctx
    return default_factory


def lets_in(ctx, client_ctx, session=None):
    """Whether a client gets in, with its session if it is given one."""
    try:
        resumed, _ = visit(ctx, client_ctx, session)
    except ssl.SSLError:
        return False
    return session is None or resumed


def append_revocation(config, revocations, ca, client_certificate):
    with open(config.ca_certs, "ab") as file:
        file.write(revocation_list(ca, client_certificate))


def replace_revocations(config, revocations, ca, client_certificate):
    """In a file that no setting names."""
    revocations.write_bytes(revocation_list(ca, client_certificate))


def replace_ca(config, revocations, ca, client_certificate):
    other = CA(key_type=KeyType.ECDSA)
    other.cert_pem.write_to_path(config.ca_certs)
    revocations.write_bytes(revocation_list(other))


def renew_certificate(config, revocations, ca, client_certificate):
    ca.issue_cert("a.test").private_key_and_cert_chain_pem.write_to_path(config.certfile)


CHANGES = [append_revocation, replace_revocations, replace_ca, renew_certificate]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("options", [{}, {"id_context": b"shop"}], ids=["derived", "named"])
@pytest.mark.parametrize("stored", [False, True], ids=["tickets", "cache"])
def test_no_session_outlives_a_change_of_trust(
    options, stored, change, version, config, build, revocations, ca, client_certificate, make_client_ctx, client_ctx
):
    """An application's name is added to what its context authenticates by."""
    cache = SessionCache(size=1 << 20) if stored else None
    ctx = SSLContextFactory(TicketKeys(), cache=cache, **options)(config, build)
    client_ctx = make_client_ctx(version)
    sessions = [visit(ctx, client_ctx)[1] for _ in range(3)]
    assert all(lets_in(ctx, client_ctx, session) for session in sessions)
    change(config, revocations, ca, client_certificate)
    assert not any(lets_in(ctx, client_ctx, session) for session in sessions)
    assert lets_in(ctx, client_ctx) == (change is renew_certificate)


def test_an_exact_id_context_stays(config, build, revocations, ca, client_certificate, client_ctx):
    """The user asked for it: sessions are resumed whatever was trusted when they were made."""
    ctx = SSLContextFactory(TicketKeys(), exact_id_context=b"shop")(config, build)
    _, session = visit(ctx, client_ctx)
    append_revocation(config, revocations, ca, client_certificate)
    assert not lets_in(ctx, client_ctx)
    assert lets_in(ctx, client_ctx, session)


def unpacked(path, content, before):
    """As `tar --mtime` and `cp --preserve=timestamps` leave a file."""
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_ino == before.st_ino


def copied(path, content, before):
    """With the times of another file."""
    other = path.with_suffix(".other")
    unpacked(other, content, other.stat() if other.exists() else touched(other, before))
    shutil.copyfile(other, path)
    shutil.copystat(other, path)


def touched(path, before):
    path.touch()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return path.stat()


@pytest.mark.parametrize("write", [unpacked, copied])
def test_a_certificate_of_the_same_size_and_time(config, build, ca, client_ctx, write):
    path = Path(config.certfile)
    path.write_bytes(path.read_bytes().ljust(4096, b"\n"))
    ctx = SSLContextFactory(TicketKeys())(config, build)
    _, session = visit(ctx, client_ctx)
    before = path.stat()
    write(path, ca.issue_cert("a.test").private_key_and_cert_chain_pem.bytes().ljust(4096, b"\n"), before)
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert not lets_in(ctx, client_ctx, session)
