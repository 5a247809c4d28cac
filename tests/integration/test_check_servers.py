"""`check` of servers that others wrote: its verdicts, and what `openssl s_client` says of the same."""

import pytest
from checks import Checked
from peers import A, B, Peer, haproxy, nginx, resumed_elsewhere, s_server
from server_programs import VISITS, VISITS_OF_PROGRAMS

from pysidctx.cli.demo import command as demo
from pysidctx.cli.demo.server import BANK, SHOP

WAYS = {"TLS 1.2, ticket": "TLS 1.2", "TLS 1.2, session id": "TLS 1.2 without tickets",
        "TLS 1.3": "TLS 1.3"}
TICKETS = "TLS 1.2, ticket", "TLS 1.3"
BOTH = "--name", A, "--name", B
SHARED_KEY = "ssl_session_ticket_key key;"

pytestmark = pytest.mark.usefixtures("no_system_cas")


def agrees_with_s_client(checked, folder, port, names, ways=tuple(WAYS), tries=1):
    """On each pair of names, in each way."""
    for way in ways:
        for made, offered in (names, names[::-1]):
            assert checked.crosses(way, made, offered) == resumed_elsewhere(
                folder, port, WAYS[way], made, offered, tries), (way, made, offered)


def test_nginx_with_a_shared_ticket_key(folder):
    with Peer(nginx, folder, settings=SHARED_KEY) as peer:
        checked = Checked(peer.port, "--name", A, "--ca-file", folder / "ca.pem")
        assert checked.count("TLS 1.2, ticket") == checked.count("TLS 1.3") == (9, 9)
        assert checked.said["faults"] == 0
        assert checked.grades("ticket") == {"TLS 1.2, ticket": "ok", "TLS 1.3": "ok"}
        assert "valid for 300 s" in checked.found("ticket")[0]["seen"]
        assert not checked.found("certificate")
        with Peer(nginx, folder, settings=SHARED_KEY) as restarted:  # another instance, the same key
            assert resumed_elsewhere(folder, restarted.port, "TLS 1.3", A, A, 1)


def test_nginx_without_any_resumption(folder):
    with Peer(nginx, folder, settings="ssl_session_tickets off; ssl_session_cache off;") as peer:
        checked = Checked(peer.port, "--name", A)
    assert checked.grades("resumption") == {"TLS 1.2": "note", "TLS 1.3": "note"}
    assert "no session can be resumed" in checked.found("resumption", "TLS 1.2")[0]["seen"]
    assert checked.count("TLS 1.3") == (0, 9)  # tickets that stand for nothing


def test_nginx_with_ticket_keys_of_its_own(folder):
    """Made by the process that its workers come from."""
    with Peer(nginx, folder) as peer:
        checked = Checked(peer.port, "--name", A)
    assert checked.grades("resumption")["TLS 1.3"] == "ok"


def test_nginx_with_two_hosts_of_two_certificates(folder):
    with Peer(nginx, folder, settings=SHARED_KEY, names=(A, B), host_settings={
            B: "ssl_verify_client on; ssl_client_certificate ca.pem;"}) as peer:
        checked = Checked(peer.port, *BOTH, "--client-cert", folder / "client.pem")
        agrees_with_s_client(checked, folder, peer.port, (A, B), TICKETS)
    # nginx itself keeps such hosts apart since its answer to CVE-2025-23419.
    crossed = [finding for finding in checked.found("names") if "is resumed for" in finding["seen"]]
    assert all(finding["grade"] == "fault" for finding in crossed)


def test_nginx_with_two_hosts_of_one_certificate(folder):
    with Peer(nginx, folder, settings=SHARED_KEY, names=(A, B), certificate="both") as peer:
        checked = Checked(peer.port, *BOTH)
        agrees_with_s_client(checked, folder, peer.port, (A, B), TICKETS)
    assert checked.said["faults"] == 0
    assert checked.grades("names")["TLS 1.2, ticket"] == "note"
    assert checked.grades("names")["TLS 1.3"] == "ok"


@pytest.mark.parametrize("settings", ["", "no-tls-tickets"])
def test_haproxy(folder, settings):
    with Peer(haproxy, folder, settings=settings) as peer:
        checked = Checked(peer.port, *BOTH)
        agrees_with_s_client(checked, folder, peer.port, (A, B), [*WAYS][bool(settings):])
    assert checked.count("TLS 1.2, ticket") == (None if settings else (9, 9))
    assert bool(checked.found("ticket", "TLS 1.2, ticket")) == (not settings)
    assert checked.count("TLS 1.2, session id") == checked.count("TLS 1.3") == (9, 9)


@pytest.mark.parametrize("hosts", [1, 2])
def test_openssl_s_server(folder, hosts):
    second = ["-servername", B, "-cert2", folder / "b.test.pem", "-key2", folder / "b.test.pem"]
    with Peer(s_server, folder, *(second if hosts == 2 else [])) as peer:
        checked = Checked(peer.port, *BOTH)
        agrees_with_s_client(checked, folder, peer.port, (A, B))
    assert checked.count("TLS 1.2, ticket") == checked.count("TLS 1.3") == (9, 9)
    assert bool(checked.said["faults"]) == (hosts == 2)


def test_openssl_s_server_that_demands_a_certificate(folder):
    with Peer(s_server, folder, "-Verify", "1", "-CAfile", folder / "ca.pem") as peer:
        alone = Checked(peer.port, "--name", A)
        certified = Checked(peer.port, "--name", A, "--client-cert", folder / "client.pem")
    assert alone.grades("client-certificate") == {"TLS 1.2": "ok", "TLS 1.3": "ok"}
    assert not alone.found("resumption")
    assert certified.count("TLS 1.3") == (9, 9)


def test_a_version_that_is_not_offered(folder):
    with Peer(s_server, folder, "-tls1_2") as peer:
        checked = Checked(peer.port, "--name", A)
    (finding,) = checked.found("version")
    assert finding["where"] == "TLS 1.3" and finding["seen"] == "not offered (alert protocol_version)"


def test_gunicorn_alone_and_with_the_hook(start, tmp_path):
    with start("gunicorn", plain=True, two_workers=True) as server:
        alone = Checked(server.port, *BOTH)
        agrees_with_s_client(alone, tmp_path, server.port, (A, B), TICKETS)
        assert not resumed_elsewhere(tmp_path, server.port, "TLS 1.3", A, A, VISITS_OF_PROGRAMS)
    with start("gunicorn") as server:
        hooked = Checked(server.port, *BOTH, "--connections", VISITS + 1)
        agrees_with_s_client(hooked, tmp_path, server.port, (A, B), TICKETS)
        assert resumed_elsewhere(tmp_path, server.port, "TLS 1.3", A, A, 1)
    for way in TICKETS:
        assert alone.count(way) == (0, 9)
        assert alone.grades("resumption")[way] == "note"
        assert hooked.count(way) == (VISITS, VISITS)
        assert hooked.grades("resumption")[way] == "ok"


@pytest.fixture(scope="module")
def folder_of_demo(tmp_path_factory):
    made = tmp_path_factory.mktemp("demo")
    demo.write_certificates(made)
    return made


@pytest.mark.parametrize("kind", demo.KINDS.values())
def test_the_servers_of_the_demo(kind, folder_of_demo):
    folder, ours = folder_of_demo, kind != "plain"
    with demo.serving(kind, folder) as server:
        for _ in range(1 if ours else 20):  # one worker of the plain one may serve all connections of an audit
            # The demand is known, or is to be found out.
            known = Checked(server.port, "--name", SHOP, "--demands", BANK, "--ca-file", folder / "ca.pem",
                            "--client-cert", folder / "client.pem", "--connections", VISITS + 1)
            if all(resumed != visits for resumed, visits in map(known.count, TICKETS)):
                break
        # A worker of the plain one resumes its own sessions alone.
        agrees_with_s_client(known, folder, server.port, (SHOP, BANK), TICKETS, tries=4 if ours else 12)
    assert bool(known.said["faults"]) != ours
    certified = known.found("client-certificate")
    assert {finding["grade"] for finding in certified} == {"ok" if ours else "fault"}
    for way in TICKETS:
        resumed, visits = known.count(way)
        assert (resumed == visits) == ours
        assert known.crosses(way, SHOP, BANK) != ours
