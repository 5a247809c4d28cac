"""Servers with four workers that demand client certificates: all of them resume every client that comes back."""

import json
import os
import re
import signal
from contextlib import ExitStack, contextmanager
from pathlib import Path

import certified_app
import pytest
import trustme
from checks import Checked
from handshakes import VERSIONS
from machine import program
from other_clients import NodeClient, resumed_by_gnutls
from server_programs import CACHED_PROGRAMS, ProgramClient, PythonClient

WORKERS = 4

pytestmark = pytest.mark.one_python  # with clients of several languages


class Certified:
    """A client with a name of its own in its certificate."""

    def __init__(self, name, client, version):
        self.name, self.client, self.version = name, client, version

    def visit(self, port):
        """Whether it was resumed, and by which process. Its name is there whether it was or not."""
        seen = self.client.visit(port)
        assert names_in(self.client.said) == [self.name]
        return seen


def names_in(said):
    return json.loads(re.search(rb"^names (.*)$", said, re.MULTILINE).group(1))


def counts_in(said):
    return json.loads(re.search(rb"^counts (.*)$", said, re.MULTILINE).group(1))


@pytest.fixture
def chain_of(ca, tmp_path):
    def issue(name):
        path = tmp_path / f"{name}.pem"
        issued = ca.issue_cert(f"{name}@a.test", key_type=trustme.KeyType.ECDSA)
        issued.private_key_and_cert_chain_pem.write_to_path(str(path))
        return path

    return issue


@pytest.fixture
def clients(pem_files, chain_of, tmp_path):
    """Of each kind, for each version."""
    ca_file = pem_files[1]
    kinds = {
        "python": lambda version, chain: PythonClient(ca_file, version, chain),
        "hasty": lambda version, chain: PythonClient(ca_file, version, chain, closes=False),
        "openssl": lambda version, chain: ProgramClient(ca_file, version, tmp_path, chain),
    }
    with ExitStack() as stack:
        if has("node", "nodejs"):
            for name, closes in {"node": True, "hasty-node": False}.items():
                def node(version, chain, closes=closes):
                    made = NodeClient(ca_file, version, tmp_path, chain, closes=closes)
                    stack.callback(made.stop)
                    return made

                kinds[name] = node
        yield [Certified(f"{name}.{version.name}@a.test", make(version, chain_of(f"{name}.{version.name}")), version)
               for name, make in kinds.items() for version in VERSIONS]


def has(name, package):
    """Whether the machine has a program without which the test says less; in CI it has."""
    try:
        program(name, package)
    except pytest.skip.Exception:
        return False
    return True


@pytest.fixture
def start_cached(start, tmp_path, secret):
    def starting(name, **options):
        found = CACHED_PROGRAMS[name]
        if found.needs_secret:
            memory = {"PYSIDCTX_CACHE": str(tmp_path / "memory"), "PYSIDCTX_CACHE_SIZE": str(4 << 20)}
            options = {"secret": secret, "environment": memory, **options}
        files = {**found.files, "app.py": Path(certified_app.__file__).read_text()}
        return start(name, found=found, files=files, **options)

    return starting


@contextmanager
def stopped():
    """Stops processes, so that others answer, and lets them go on in the end."""
    processes = set()
    try:
        yield lambda process: (processes.add(process), os.kill(process, signal.SIGSTOP))
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


def is_resumed_by_all(client, port):
    """Whether each of the workers resumes it, in turn."""
    seen = []
    with stopped() as stop:
        for _ in range(WORKERS):
            resumed, process = client.visit(port)
            seen.append(resumed)
            stop(process)
    return all(seen)


def counts_of_all(client, port):
    """What each worker has counted, in turn."""
    found = {}
    with stopped() as stop:
        while len(found) < WORKERS:
            _, process = client.visit(port)
            found[process] = counts_in(client.client.said)
            stop(process)
    return list(found.values())


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
                          chain_of("check"), "--connections", 41)
        if has("gnutls-cli", "gnutls-bin"):
            for version in VERSIONS:
                chain = chain_of(f"gnutls.{version.name}")
                resumed, said = resumed_by_gnutls(server.port, pem_files[1], version, chain)
                assert resumed, said
                assert names_in(said) == [f"gnutls.{version.name}@a.test"]
        assert "Warning" not in server.log.read_text()
    assert checked.said["faults"] == checked.said["notes"] - 1 == 0  # that there is only one name
    assert checked.grades("resumption") == {"TLS 1.2, ticket": "info", "TLS 1.2, session id": "ok", "TLS 1.3": "ok"}
    assert checked.count("TLS 1.2, session id") == checked.count("TLS 1.3") == (40, 40)
    assert "name sessions that the server stores" in checked.found("ticket", "TLS 1.3")[0]["seen"]
    assert checked.said["summary"].startswith("resumes 40 of 40 (TLS 1.2 session ids, TLS 1.3)")
    print(f"{name}: {peers} clients, hits {[counts['hits'] for counts in counted]}, "
          f"decoded {[counts['peers_decoded'] for counts in counted]}")
    assert sum(counts["hits"] for counts in counted) >= WORKERS * peers
    assert sum(counts["peers_decoded"] for counts in counted) <= WORKERS * peers
    assert all(0 < counts["peers_decoded"] <= peers for counts in counted)
    assert sum(counts["torn"] + counts["peers_missing"] + counts["too_large"] for counts in counted) == 0


def test_a_cache_that_cannot_be_used_is_told_and_tickets_do(start_cached, clients, tmp_path):
    """By every process that would open it."""
    folder = {"PYSIDCTX_CACHE": str(tmp_path)}
    with start_cached("uvicorn", environment=folder) as server:
        for client in clients[:2]:
            client.visit(server.port)
            assert is_resumed_by_all(client, server.port)
            assert b"counts null" in client.client.said
        said = server.log.read_text()
    assert 1 <= said.count("RuntimeWarning: pysidctx: no sessions are stored, and clients get tickets, because") <= 5
    assert "is not a regular file" in said and "Set PYSIDCTX_CACHE to a path" in said
