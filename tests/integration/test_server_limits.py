"""Servers with workers and one secret: where sessions do not cross, and what is said."""

import ssl
import time
from itertools import combinations

import pytest
from readme import names_in_docs
from server_programs import PROGRAMS, VISITS, PythonClient, ask, visits


def test_never_across_certificates(start, returning, secret, ca):
    with start("gunicorn", secret=secret, two_workers=True) as one, start(
        "gunicorn", secret=secret, two_workers=True, certificate=ca.issue_cert("a.test")
    ) as other:
        for client in returning:
            assert visits(client, [one.port, other.port], 6)[0] == 0


@pytest.fixture(scope="module")
def ports(start_lasting, lasting_secret, ca, tmp_path_factory):
    """Of servers that ask for no client certificate, ask for one, and demand one."""
    authorities = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(authorities)
    plain = PROGRAMS["gunicorn"].with_workers(2).arguments
    verifying = (*plain, "--ca-certs", str(authorities), "--cert-reqs")
    with start_lasting("gunicorn", secret=lasting_secret, arguments=plain) as one, start_lasting(
        "gunicorn", secret=lasting_secret, arguments=(*verifying, str(int(ssl.CERT_OPTIONAL)))
    ) as other, start_lasting(
        "gunicorn", secret=lasting_secret, arguments=(*verifying, str(int(ssl.CERT_REQUIRED)))
    ) as strict:
        yield one.port, other.port, strict.port


def test_never_across_client_verification(ports, pem_files, client_certificate, version, tmp_path):
    chain = tmp_path / "client.pem"
    client_certificate.private_key_and_cert_chain_pem.write_to_path(chain)
    client = PythonClient(pem_files[1], version, chain)
    for pair in combinations(ports, 2):
        assert visits(client, pair, 6)[0] == 0
    strict = ports[-1]
    assert visits(client, [strict], 4)[0] == 3


def test_a_spawned_worker_says_that_its_keys_are_its_own(start, returning):
    with start("uvicorn", two_workers=True) as server:
        returning[0].visit(server.port)
    said = server.log.read_text()
    assert "RuntimeWarning: pysidctx: this worker was not forked but spawned" in said
    assert "PYSIDCTX_SECRET_FILE" in said


@pytest.mark.parametrize("name", ["gunicorn", "uvicorn"])
def test_a_rewritten_certificate_counts_without_a_restart(start, returning, name, secret, ca):
    client = returning[1]
    with start(name, secret=secret, two_workers=True) as server:
        assert visits(client, [server.port], 10)[0] == 9
        ca.issue_cert("a.test").private_key_and_cert_chain_pem.write_to_path(
            server.folder / "server.pem")
        time.sleep(1.1)  # the workers look once a second
        assert not client.visit(server.port)[0]
        assert visits(client, [server.port])[0] == VISITS - 1


def test_a_secret_that_others_can_read_stops_gunicorn_at_its_start(start, secret):
    secret.chmod(0o644)
    with pytest.raises(AssertionError, match="tickets.secret' has mode 0644"):
        with start("gunicorn", secret=secret):
            pass


def test_uvicorn_s_worker_serves_without_tls_too(start):
    plain = ("-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "1", "app:asgi")
    with start("gunicorn uvicorn", arguments=plain, tls=False) as server:
        assert b"200 OK" in ask(server.port)


def test_the_recipe_for_hypercorn_serves_without_tls_too():
    assert names_in_docs("ResumingConfig")["ResumingConfig"]().create_ssl_context() is None
