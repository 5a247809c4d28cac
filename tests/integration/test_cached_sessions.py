"""Servers with four workers that demand client certificates: all of them resume every client that comes back."""

import ssl
import subprocess
import sys
import time
from contextlib import ExitStack
from functools import partial

import pytest
import trustme
from cached_servers import WORKERS, Certified, counts_of_all, is_resumed_by_all, names_in, stopped
from checks import Checked
from handshakes import VERSIONS
from machine import program
from other_clients import GoClient, NodeClient, node_program, resumed_by_gnutls
from pem_files import first_certificate
from server_programs import CACHED_PROGRAMS, VISITS, ProgramClient, PythonClient

from pysidctx.environment import CACHE, SECRET_FILE

# In TLS 1.2 they know tickets alone, which no server issues that stores the session.
WITHOUT_IDS = [(name, ssl.TLSVersion.TLSv1_2) for name in ("go", "hasty-go")]

pytestmark = pytest.mark.one_python  # with clients of several languages


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """The folder of the clients' programs."""
    return tmp_path_factory.mktemp("programs")


@pytest.fixture(scope="module")
def node(programs):
    """The program of Node's clients, if there is Node."""
    if not has("node", "nodejs"):
        yield None
        return
    started = node_program(programs)
    yield started
    started.stop()


@pytest.fixture
def chain_of(ca, tmp_path):
    def issue(name):
        path = tmp_path / f"{name}.pem"
        issued = ca.issue_cert(f"{name}@a.test", key_type=trustme.KeyType.ECDSA)
        issued.private_key_and_cert_chain_pem.write_to_path(str(path))
        return path

    return issue


@pytest.fixture
def clients(pem_files, chain_of, tmp_path, programs, node):
    """Of each kind, for each version."""
    ca_file = pem_files[1]
    kinds = {
        "python": lambda version, chain: PythonClient(ca_file, version, chain),
        "hasty": lambda version, chain: PythonClient(ca_file, version, chain, closes=False),
        "openssl": lambda version, chain: ProgramClient(ca_file, version, tmp_path, chain),
    }
    with ExitStack() as stack:
        def of_go(version, chain, closes=True):
            made = GoClient(programs, ca_file, version, chain, closes=closes)
            stack.callback(made.program.stop)
            return made

        if node is not None:
            of_node = partial(NodeClient, node, ca_file)
            kinds.update({"node": of_node, "hasty-node": partial(of_node, closes=False)})
        if has("go", "golang-go"):
            kinds.update({"go": of_go, "hasty-go": partial(of_go, closes=False)})
        yield [Certified(f"{name}.{version.name}@a.test", make(version, chain_of(f"{name}.{version.name}")), version)
               for name, make in kinds.items() for version in VERSIONS if (name, version) not in WITHOUT_IDS]


def has(name, package):
    """Whether the machine has a program without which the test says less; in CI it has."""
    try:
        program(name, package)
    except pytest.skip.Exception:
        return False
    return True


@pytest.mark.parametrize("name", CACHED_PROGRAMS)
def test_every_client_is_resumed_by_all_workers(start_cached, clients, pem_files, chain_of, name):
    peers = len(clients)
    with start_cached(name) as server:
        for client in clients:
            resumed, _ = client.visit(server.port)
            assert not resumed
        for client in clients:
            assert is_resumed_by_all(client, server.port), client.name
        counted = counts_of_all(clients[0], server.port)
        checked = Checked(server.port, "--name", "a.test", "--ca-file", pem_files[1], "--client-cert",
                          chain_of("check"), "--connections", VISITS + 1)
        if has("gnutls-cli", "gnutls-bin"):
            for version in VERSIONS:
                chain = chain_of(f"gnutls.{version.name}")
                resumed, said = resumed_by_gnutls(server.port, pem_files[1], version, chain)
                assert resumed, said
                assert names_in(said) == [f"gnutls.{version.name}@a.test"]
        assert "Warning" not in server.log.read_text()
    assert checked.said["faults"] == checked.said["notes"] - 1 == 0  # that there is only one name
    assert checked.grades("resumption") == {"TLS 1.2, ticket": "info", "TLS 1.2, session id": "ok", "TLS 1.3": "ok"}
    assert checked.count("TLS 1.2, session id") == checked.count("TLS 1.3") == (VISITS, VISITS)
    assert "name sessions that the server stores" in checked.found("ticket", "TLS 1.3")[0]["seen"]
    assert checked.said["summary"].startswith(f"resumes {VISITS} of {VISITS} (TLS 1.2 session ids, TLS 1.3)")
    print(f"{name}: {peers} clients, hits {[counts['hits'] for counts in counted]}, "
          f"decoded {[counts['peers_decoded'] for counts in counted]}")
    assert sum(counts["hits"] for counts in counted) >= WORKERS * peers
    assert sum(counts["peers_decoded"] for counts in counted) <= WORKERS * peers
    assert all(0 < counts["peers_decoded"] <= peers for counts in counted)
    assert sum(counts["torn"] + counts["peers_missing"] + counts["too_large"] for counts in counted) == 0


def test_a_client_that_knows_tickets_alone_gets_full_handshakes(start_cached, pem_files, chain_of, programs):
    """In TLS 1.2. It is served, with its certificate; where no cache is used, it is resumed."""
    version = ssl.TLSVersion.TLSv1_2
    client = GoClient(programs, pem_files[1], version, chain_of("go"))
    with ExitStack() as stack:
        stack.callback(client.program.stop)
        for cached in (True, False):
            server = stack.enter_context(start_cached("uvicorn", two_workers=True,
                                                      **({} if cached else {"environment": {}})))
            certified = Certified("go@a.test", client, version)
            seen = [certified.visit(server.port)[0] for _ in range(3)]
            assert seen == [False, not cached, not cached]


FORGET = """
import sys
from pysidctx import SessionCache
secret, memory, certificate = sys.argv[1:]
SessionCache.from_secret_file(secret, memory=memory, size=4 << 20).forget(peer=bytes.fromhex(certificate))
"""


@pytest.fixture(scope="module")
def server_of_spawned(start_lasting_cached):
    with start_lasting_cached("uvicorn") as server:
        yield server


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_what_another_process_forgets(server_of_spawned, pem_files, chain_of, version):
    """One that was not forked, and opens the memory by its path. No worker resumes the session any more."""
    chains = [chain_of(name) for name in ("one", "other")]
    one, other = [Certified(f"{chain.stem}@a.test", PythonClient(pem_files[1], version, chain), version)
                  for chain in chains]
    server = server_of_spawned
    for client in (one, other):
        client.visit(server.port)
        assert is_resumed_by_all(client, server.port)
    session = one.client.session
    subprocess.run([sys.executable, "-c", FORGET, *map(server.environment.get, (SECRET_FILE, CACHE)),
                    first_certificate(chains[0]).hex()], check=True)
    with stopped() as stop:
        for _ in range(WORKERS):
            one.client.session = session
            resumed, process = one.visit(server.port)
            assert not resumed
            stop(process)
    assert is_resumed_by_all(other, server.port)
    time.sleep(1)  # what was made in the same second is forgotten, too
    one.visit(server.port)
    assert is_resumed_by_all(one, server.port)


def test_a_cache_that_cannot_be_used_is_told_and_tickets_do(start_cached, pem_files, chain_of, tmp_path):
    """By every process that would open it."""
    folder = {"PYSIDCTX_CACHE": str(tmp_path)}
    clients = [Certified(f"{version.name}@a.test", PythonClient(pem_files[1], version, chain_of(version.name)), version)
               for version in VERSIONS]
    with start_cached("uvicorn", environment=folder) as server:
        for client in clients:
            client.visit(server.port)
            assert is_resumed_by_all(client, server.port)
            assert b"counts null" in client.client.said
        said = server.log.read_text()
    assert 1 <= said.count("RuntimeWarning: pysidctx: no sessions are stored, and clients get tickets, because") <= 5
    assert "is not a regular file" in said and "Set PYSIDCTX_CACHE to a path" in said
