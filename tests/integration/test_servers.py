"""Servers with four workers, as the README starts them: every client that comes back is resumed."""

import signal
import ssl
import time
from contextlib import suppress

import pytest
from handshakes import VERSIONS
from machine import lack, module
from server_programs import (
    PROGRAMS, VISITS, ProgramClient, PythonClient, free_port, new_secret, running, visits,
)


@pytest.fixture
def clients(pem_files, tmp_path):
    """Of both kinds, for both versions."""
    return ([PythonClient(pem_files[1], version) for version in VERSIONS]
            + [ProgramClient(pem_files[1], version, tmp_path) for version in VERSIONS])


@pytest.fixture
def secret(tmp_path):
    return new_secret(tmp_path)


@pytest.fixture
def start(tmp_path, certificate):
    def starting(name, **options):
        found = PROGRAMS[name]
        if "uvicorn" in name:
            needs_the_hook()
        options.setdefault("certificate", certificate)
        options.setdefault("files", found.files)
        options.setdefault("arguments", found.arguments)
        options.setdefault("processes", found.processes)
        port = options.pop("port", None) or free_port()
        return port, running(tmp_path / f"{name} {port}", port=port, **options)
    return starting


def needs_the_hook():
    if not hasattr(module("uvicorn", "uvicorn").Config(None, log_config=None), "ssl_context_factory"):
        lack("this uvicorn has no ssl_context_factory: install 0.47 or later")


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_client_is_resumed(start, clients, name, secret):
    port, server = start(name, secret=secret if PROGRAMS[name].needs_secret else None)
    processes = set()
    with server:
        for client in clients:
            resumed, by = visits(client, [port])
            assert resumed == VISITS - 1
            processes |= by
    assert len(processes) > 1


@pytest.mark.parametrize("name", PROGRAMS)
def test_how_many_are_resumed_without_pysidctx(start, clients, name, secret, record_property):
    found = PROGRAMS[name]
    port, server = start(name, files=found.plain_files, arguments=found.plain_arguments,
                         secret=secret if found.processes > 1 else None)
    with server:
        counts = [visits(client, [port])[0] for client in clients]
    record_property("resumed", counts)
    print(f"{name} alone: {counts} of {VISITS - 1}: Python TLS 1.2, 1.3, openssl TLS 1.2, 1.3")


@pytest.mark.parametrize("name", [name for name in PROGRAMS if PROGRAMS[name].reloads])
def test_across_a_rolling_restart(start, clients, name, secret):
    port, server = start(name, secret=secret)
    with server as process:
        before = set()
        for client in clients:
            before |= visits(client, [port], 10)[1]
        process.send_signal(signal.SIGHUP)
        seen_anew(clients[0], port, before)
        for client in clients:
            assert all(client.visit(port)[0] for _ in range(10))


def seen_anew(client, port, known):
    """Visits until only processes answer that did not before; all of them are resumed."""
    deadline = time.monotonic() + 30
    new = 0
    while new < 20:
        assert time.monotonic() < deadline, "the workers were not replaced"
        with suppress(OSError):  # a worker that is just stopping
            resumed, process = client.visit(port)
            assert resumed
            new = new + 1 if process not in known else 0
        time.sleep(0.05)


@pytest.mark.parametrize("name", ["gunicorn", "uvicorn", "hypercorn"])
def test_across_a_restart_and_two_instances_with_one_secret(start, clients, name, secret):
    one, first = start(name, secret=secret)
    other, second = start(name, secret=secret)
    with second:
        with first:
            for client in clients:
                assert visits(client, [one, other])[0] == VISITS - 1
        _, again = start(name, secret=secret, port=one)
        with again:
            for client in clients:
                assert client.visit(one)[0]


ROTATING = """
import pysidctx
from pysidctx.servers import SSLContextFactory

ssl_context = SSLContextFactory(pysidctx.TicketKeys.from_secret_file({!r}, period=2, lifetime=60))
"""


def test_through_key_rotations(start, clients, secret):
    port, server = start("gunicorn", files={"gunicorn.conf.py": ROTATING.format(str(secret))})
    end = time.monotonic() + 10
    with server:
        for client in clients:
            client.visit(port)
        while time.monotonic() < end:
            assert [client.visit(port)[0] for client in clients] == [True] * len(clients)
            time.sleep(0.05)


def test_never_across_certificates(start, clients, secret, ca):
    one, first = start("gunicorn", secret=secret)
    other, second = start("gunicorn", secret=secret, certificate=ca.issue_cert("a.test"))
    with first, second:
        for client in clients:
            assert visits(client, [one, other], 6)[0] == 0


def test_never_across_client_verification(
    start, pem_files, secret, client_certificate, version, tmp_path
):
    chain = tmp_path / "client.pem"
    client_certificate.private_key_and_cert_chain_pem.write_to_path(chain)
    verifying = PROGRAMS["gunicorn"].arguments + ("--ca-certs", str(pem_files[1]), "--cert-reqs")
    options = [
        PROGRAMS["gunicorn"].arguments,
        (*verifying, str(int(ssl.CERT_OPTIONAL))),
        (*verifying, str(int(ssl.CERT_REQUIRED))),
    ]
    servers = [start("gunicorn", secret=secret, arguments=arguments) for arguments in options]
    ports = [port for port, _ in servers]
    with servers[0][1], servers[1][1], servers[2][1]:
        client = PythonClient(pem_files[1], version, chain)
        assert visits(client, ports, 9)[0] == 0
        assert visits(client, ports[2:], 4)[0] == 3


def test_a_spawned_worker_says_that_its_keys_are_its_own(start, clients, tmp_path):
    port, server = start("uvicorn")
    with server:
        clients[0].visit(port)
    said = (tmp_path / f"uvicorn {port}" / f"log.{port}").read_text()
    assert "RuntimeWarning: pysidctx: this worker was not forked but spawned" in said
    assert "PYSIDCTX_SECRET_FILE" in said


@pytest.mark.parametrize("name", ["gunicorn", "uvicorn"])
def test_a_rewritten_certificate_counts_without_a_restart(
    start, clients, name, secret, ca, tmp_path
):
    port, server = start(name, secret=secret)
    client = clients[1]
    with server:
        assert visits(client, [port], 10)[0] == 9
        ca.issue_cert("a.test").private_key_and_cert_chain_pem.write_to_path(
            tmp_path / f"{name} {port}" / "server.pem")
        time.sleep(1.1)  # the workers look once a second
        assert not client.visit(port)[0]
        assert visits(client, [port])[0] == VISITS - 1


def test_a_secret_that_others_can_read_stops_gunicorn_at_its_start(start, secret):
    secret.chmod(0o644)
    _, server = start("gunicorn", secret=secret)
    with pytest.raises(AssertionError, match="tickets.secret' has mode 0644"):
        server.__enter__()
