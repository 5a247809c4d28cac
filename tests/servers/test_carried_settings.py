"""What is set on a context that the hook has returned is set on those that come after it, too."""

import logging
import ssl
from types import SimpleNamespace

import pytest
import trustme
from handshakes import VERSIONS, connect
from tickets import visit

import pysidctx
from pysidctx import HostMap, TicketKeys
from pysidctx.servers import SSLContextFactory, carried_settings, current_context


class Server:
    """One that keeps the context that its hook has returned."""

    def __init__(self, certfile, ca_file, **options):
        self.certfile, self.ca_file = certfile, ca_file
        self.factory = SSLContextFactory(TicketKeys(), **options)
        self.config = SimpleNamespace(certfile=str(certfile), ca_certs=None)
        self.failing = False
        self.kept = self.current()

    def build(self):
        if self.failing:
            raise RuntimeError("the vault is closed")
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(self.certfile)
        return ctx

    def current(self):
        return self.factory(self.config, self.build)

    def renew(self):
        before = self.current()
        with open(self.certfile, "ab") as file:
            file.write(b"\n")
        self.kept.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
        assert self.current() is not before


@pytest.fixture
def server(pem_files):
    return Server(*pem_files)


@pytest.fixture(params=["before", "after"])
def change(request, server):
    """Does something to what the hook has returned, before a renewal or after one; then there is another."""
    def changing(work):
        if request.param == "after":
            server.renew()
        work(server.kept)
        for _ in range(2):
            yield
            server.renew()
        yield
    return changing


def gets_in(ctx, client_ctx):
    try:
        visit(ctx, client_ctx)
    except ssl.SSLError:
        return False
    return True


@pytest.mark.parametrize("version", VERSIONS)
def test_a_demand_for_certificates(server, change, make_client_ctx, pem_files, version):
    def demand(ctx):
        ctx.load_verify_locations(pem_files[1])
        ctx.verify_mode = ssl.CERT_REQUIRED

    for _ in change(demand):
        assert gets_in(server.kept, make_client_ctx(version))
        assert not gets_in(server.kept, make_client_ctx(version, certificate=False))
    assert server.current().verify_mode == ssl.CERT_REQUIRED


@pytest.mark.parametrize("version", VERSIONS)
def test_the_demand_of_a_host(server, change, make_server_ctx, make_client_ctx, version):
    """Named by the client; also without a renewal of the map since."""
    hosts = HostMap({"a.test": make_server_ctx(verify=ssl.CERT_REQUIRED)})
    for _ in change(hosts.install):
        assert gets_in(server.kept, make_client_ctx(version))
        assert not gets_in(server.kept, make_client_ctx(version, certificate=False))
    hosts.uninstall(server.current())


def test_a_host_map_that_is_taken_away(server, make_server_ctx, make_client_ctx):
    hosts = HostMap({"a.test": make_server_ctx(verify=ssl.CERT_REQUIRED)})
    hosts.install(server.kept)
    server.renew()
    hosts.uninstall(server.kept)
    assert gets_in(server.kept, make_client_ctx(certificate=False))
    with pytest.raises(ValueError, match="not installed"):
        hosts.uninstall(server.current())


def test_ticket_keys(server, change, client_ctx):
    keys = TicketKeys()
    for _ in change(keys.install):
        before = keys.stats()
        _, session = visit(server.kept, client_ctx)
        assert visit(server.kept, client_ctx, session)[0]
        assert keys.stats().accepted == before.accepted + 1


def test_no_ticket_keys(server, client_ctx):
    server.factory._keys.uninstall(server.kept)
    server.renew()
    before = server.factory._keys.stats()
    visit(server.kept, client_ctx)
    assert server.factory._keys.stats() == before


def test_an_id_context(server, change, client_ctx):
    """Sessions go on resuming while the trust stays as it is."""
    rounds = change(lambda ctx: pysidctx.set_session_id_context(ctx, b"shop"))
    next(rounds)
    _, session = visit(server.kept, client_ctx)
    for _ in rounds:
        assert visit(server.kept, client_ctx, session)[0]
    assert pysidctx.Session.of(session_of(server.kept, client_ctx)).id_context == b"shop"


def session_of(ctx, client_ctx):
    made = []
    visit(ctx, client_ctx, before=lambda ends: made.append(ends.server))
    return made[0]


def test_an_id_context_is_another_one_under_another_certificate(server, client_ctx, ca):
    """It may have been derived from what the context was."""
    pysidctx.resumable(server.kept, TicketKeys(), id_context=b"shop")
    _, session = visit(server.kept, client_ctx)
    assert visit(server.kept, client_ctx, session)[0]
    ca.issue_cert("a.test").private_key_and_cert_chain_pem.write_to_path(server.certfile)
    assert not visit(server.kept, client_ctx, session)[0]
    _, session = visit(server.kept, client_ctx)
    server.renew()
    assert visit(server.kept, client_ctx, session)[0]


def refuse(conn, name, ctx):
    return ssl.ALERT_DESCRIPTION_ACCESS_DENIED


def test_a_callback(server, change, client_ctx):
    for _ in change(lambda ctx: setattr(ctx, "sni_callback", refuse)):
        assert not gets_in(server.kept, client_ctx)


def test_flags(server, change):
    flags = ssl.OP_NO_RENEGOTIATION, ssl.OP_CIPHER_SERVER_PREFERENCE
    ctx = server.build()
    assert [bool(ctx.options & flag) for flag in flags] == [False, True]

    def set_flags(ctx):
        ctx.options = ctx.options & ~flags[1] | flags[0]
        ctx.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_CRL_CHECK_LEAF

    for _ in change(set_flags):
        server.kept.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
        current = server.current()
        assert [bool(current.options & flag) for flag in flags] == [True, False]
        assert current.verify_flags & ssl.VERIFY_CRL_CHECK_LEAF


@pytest.mark.parametrize("name, value", [
    ("minimum_version", ssl.TLSVersion.TLSv1_3), ("maximum_version", ssl.TLSVersion.TLSv1_2), ("num_tickets", 1),
    ("post_handshake_auth", True), ("sslobject_class", type("Own", (ssl.SSLObject,), {})),
    ("sslsocket_class", type("Own", (ssl.SSLSocket,), {})),
])
def test_attributes(server, change, name, value):
    for _ in change(lambda ctx: setattr(ctx, name, value)):
        server.kept.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
        assert getattr(server.current(), name) == value


def test_a_log_of_keys(server, change, tmp_path):
    path = str(tmp_path / "keys")
    for _ in change(lambda ctx: setattr(ctx, "keylog_filename", path)):
        server.kept.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
        assert server.current().keylog_filename == path


def test_methods(server, change):
    def call(ctx):
        ctx.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        ctx.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")

    for _ in change(call):
        assert "ECDHE-ECDSA-AES256-GCM-SHA384" in [cipher["name"] for cipher in server.current().get_ciphers()]
        assert "ECDHE-ECDSA-AES128-GCM-SHA256" not in [cipher["name"] for cipher in server.current().get_ciphers()]


def test_a_file_that_is_loaded_later_is_watched(server, change, tmp_path, ca):
    path = tmp_path / "trusted.pem"
    ca.cert_pem.write_to_path(path)
    rounds = change(lambda ctx: ctx.load_verify_locations(path))
    next(rounds)
    before = server.current()
    assert before.cert_store_stats()["x509_ca"] == 1
    with open(path, "ab") as file:
        file.write(b"\n")
    assert server.current() is not before
    assert server.current().cert_store_stats()["x509_ca"] == 1


def test_what_fails_is_not_kept(server):
    with pytest.raises(ssl.SSLError):
        server.kept.set_ciphers("none")
    server.renew()


def test_calls_without_end(server, monkeypatch, caplog):
    monkeypatch.setattr(current_context, "MOST_CALLS", 2)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            server.kept.load_cert_chain(server.certfile, password=lambda: "")
    (record,) = caplog.records
    assert "in the function that builds the context" in record.getMessage()


def test_what_cannot_be_carried_over_keeps_the_former(server, client_ctx, caplog):
    """Such as a file that is not there any more."""
    path = server.ca_file
    server.kept.load_verify_locations(path)
    server.kept.verify_mode = ssl.CERT_REQUIRED
    path.unlink()
    before = server.current()
    assert before is server.kept
    assert gets_in(server.kept, client_ctx)
    (record,) = caplog.records
    assert str(path) in record.getMessage()


def test_a_build_that_fails_loses_nothing(server, make_client_ctx):
    server.kept.verify_mode = ssl.CERT_REQUIRED
    server.failing = True
    with open(server.certfile, "ab") as file:
        file.write(b"\n")
    for _ in range(2):
        assert not gets_in(server.kept, make_client_ctx(certificate=False))
    server.failing = False
    server.renew()
    assert not gets_in(server.kept, make_client_ctx(certificate=False))


def test_which_context_makes_connections_can_be_asked_meanwhile(server, make_server_ctx, monkeypatch, client_ctx):
    """As install() may do it for a context whose methods are not those of Python."""
    def asking(ctx, sid_ctx):
        made = ctx.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
        asked.append(made.context is ctx)
        return pysidctx.set_session_id_context(ctx, sid_ctx)

    asked = []
    monkeypatch.setattr(carried_settings, "set_session_id_context", asking)
    pysidctx.set_session_id_context(server.kept, b"shop")
    server.renew()
    pysidctx.set_session_id_context(server.kept, b"bank")
    visit(server.kept, client_ctx)
    server.renew()
    assert len(asked) >= 3 and all(asked)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("tickets", [True, False])
def test_sessions_end_when_it_demands_more(server, make_client_ctx, pem_files, version, tickets):
    client_ctx = make_client_ctx(version, certificate=False)
    if not tickets:
        client_ctx.options |= ssl.OP_NO_TICKET
    server.kept.load_verify_locations(pem_files[1])
    session = connect(server.kept, client_ctx).client.session
    assert connect(server.kept, client_ctx, session=session).server.session_reused
    server.kept.verify_mode = ssl.CERT_REQUIRED
    with pytest.raises(ssl.SSLError):
        connect(server.kept, client_ctx, session=session)


@pytest.mark.parametrize("version", VERSIONS)
def test_sessions_end_when_it_trusts_something_else(server, client_ctx, pem_files, version):
    client_ctx.minimum_version = client_ctx.maximum_version = version
    server.kept.load_verify_locations(pem_files[1])
    _, session = visit(server.kept, client_ctx)
    assert visit(server.kept, client_ctx, session)[0]
    other = trustme.CA(key_type=trustme.KeyType.ECDSA)
    server.kept.load_verify_locations(cadata=other.cert_pem.bytes().decode())
    assert not visit(server.kept, client_ctx, session)[0]


def test_what_is_set_on_an_earlier_one_is_in_force_where_the_hook_is_called_for_each_connection(
    server, make_client_ctx, pem_files
):
    earlier = server.current()
    server.renew()
    earlier.load_verify_locations(pem_files[1])
    earlier.verify_mode = ssl.CERT_REQUIRED
    assert not gets_in(server.current(), make_client_ctx(certificate=False))
    assert gets_in(server.current(), make_client_ctx())


def test_what_cannot_be_carried_from_an_earlier_one_is_logged(server, client_ctx, caplog):
    class Odd(ssl.SSLSocket):
        pass

    earlier = server.current()
    server.renew()
    server.current().__class__ = type("Strict", (ssl.SSLContext,), {"sslsocket_class": property()})
    earlier.sslsocket_class = Odd
    assert gets_in(server.current(), client_ctx)
    assert "cannot be copied to the current one" in caplog.text
