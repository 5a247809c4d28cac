"""Clients with ML-DSA certificates, which are many times larger than those of ECDSA, and servers with a cache."""

import ssl
import subprocess

import pytest
from cached_servers import WORKERS, Certified, counts_of_all, is_resumed_by_all
from machine import lack, program
from pem_files import first_certificate
from server_programs import PythonClient

pytestmark = pytest.mark.skipif(ssl.OPENSSL_VERSION_INFO < (3, 5), reason="OpenSSL has ML-DSA since 3.5")

ALGORITHMS = ("ML-DSA-44", "ML-DSA-65", "ML-DSA-87")


@pytest.fixture
def made_by_openssl(tmp_path):
    """Makes files with the `openssl` program."""
    def make(*arguments):
        ran = subprocess.run([program("openssl", "openssl"), *map(str, arguments)], capture_output=True, text=True,
                             cwd=tmp_path)
        if "ML-DSA" in ran.stderr:
            lack(f"the program openssl knows no ML-DSA: install OpenSSL 3.5 or later ({ran.stderr.strip()})")
        assert ran.returncode == 0, ran.stderr
    return make


@pytest.fixture
def chain_of(made_by_openssl, tmp_path):
    """The CA, in PEM, of an algorithm, and the file of a client's certificate and key."""
    def issue(algorithm):
        ca, chain = tmp_path / f"{algorithm}-ca.pem", tmp_path / f"{algorithm}.pem"
        key, leaf = tmp_path / "key.pem", tmp_path / "leaf.pem"
        made_by_openssl("req", "-x509", "-newkey", algorithm, "-noenc", "-keyout", tmp_path / "ca-key.pem", "-out", ca,
                        "-subj", f"/CN={algorithm} CA", "-days", 2)
        made_by_openssl("req", "-x509", "-newkey", algorithm, "-noenc", "-keyout", key, "-out", leaf, "-CA", ca,
                        "-CAkey", tmp_path / "ca-key.pem", "-subj", "/CN=client", "-days", 1,
                        "-addext", f"subjectAltName=email:{algorithm}@a.test",
                        "-addext", "basicConstraints=critical,CA:false")
        chain.write_text(key.read_text() + leaf.read_text())
        return ca.read_text(), chain
    return issue


def test_they_are_resumed_by_all_workers(start_cached, pem_files, chain_of):
    """In TLS 1.3, which alone has ML-DSA."""
    version = ssl.TLSVersion.TLSv1_3
    issued = {algorithm: chain_of(algorithm) for algorithm in ALGORITHMS}
    clients = [Certified(f"{algorithm}@a.test", PythonClient(pem_files[1], version, chain), version)
               for algorithm, (_, chain) in issued.items()]
    with start_cached("uvicorn", client_cas="".join(ca for ca, _ in issued.values())) as server:
        for client in clients:
            assert not client.visit(server.port)[0]
        for client in clients:
            assert is_resumed_by_all(client, server.port), client.name
        counted = counts_of_all(clients[0], server.port)
    sizes = {algorithm: len(first_certificate(chain)) for algorithm, (_, chain) in issued.items()}
    print(f"{sizes} bytes, hits {[counts['hits'] for counts in counted]}, "
          f"decoded {[counts['peers_decoded'] for counts in counted]}")
    assert min(sizes.values()) > 3500 and max(sizes.values()) > 7000
    assert sum(counts["hits"] for counts in counted) >= WORKERS * len(clients)
    assert all(counts["peers_decoded"] <= len(clients) for counts in counted)
    assert sum(counts["torn"] + counts["peers_missing"] + counts["too_large"] for counts in counted) == 0
