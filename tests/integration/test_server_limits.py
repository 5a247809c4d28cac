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


def test_never_across_client_verification(
    start, pem_files, secret, client_certificate, version, tmp_path
):
    chain = tmp_path / "client.pem"
    client_certificate.private_key_and_cert_chain_pem.write_to_path(chain)
    plain = PROGRAMS["gunicorn"].with_two_workers().arguments
    verifying = (*plain, "--ca-certs", str(pem_files[1]), "--cert-reqs")
    with start("gunicorn", secret=secret, two_workers=True) as one, start(
        "gunicorn", secret=secret, arguments=(*verifying, str(int(ssl.CERT_OPTIONAL)))
    ) as other, start(
        "gunicorn", secret=secret, arguments=(*verifying, str(int(ssl.CERT_REQUIRED)))
    ) as strict:
        client = PythonClient(pem_files[1], version, chain)
        for pair in combinations((one.port, other.port, strict.port), 2):
            assert visits(client, pair, 6)[0] == 0
        assert visits(client, [strict.port], 4)[0] == 3


def test_a_spawned_worker_says_that_its_keys_are_its_own(start, returning):
    with start("uvicorn") as server:
        returning[0].visit(server.port)
    said = server.log.read_text()
    assert "RuntimeWarning: pysidctx: this worker was not forked but spawned" in said
    assert "PYSIDCTX_SECRET_FILE" in said


@pytest.mark.parametrize("name", ["gunicorn", "uvicorn"])
def test_a_rewritten_certificate_counts_without_a_restart(start, returning, name, secret, ca):
    client = returning[1]
    with start(name, secret=secret) as server:
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
