"""Frameworks, further servers, and each worker class of gunicorn, with the recipes of docs/servers.md."""

import pytest
from handshakes import VERSIONS
from machine import module
from server_programs import FASTAPI, FRAMEWORKS, GUNICORN, SEPARATE, PythonClient, of_gunicorn, visits

pytestmark = pytest.mark.one_python

# With the module that each needs.
WORKER_CLASSES = {"sync": "gunicorn", "gthread": "gunicorn", "gevent": "gevent", "tornado": "tornado",
                  "asgi": "gunicorn"}


def resumed(server, ca_file, *, chain=None, count=8):
    """Of as many visits, without the first, how many were resumed, in each version."""
    return [visits(PythonClient(ca_file, version, chain), [server.port], count)[0] for version in VERSIONS]


@pytest.mark.parametrize("name", WORKER_CLASSES)
def test_worker_classes_that_call_the_hook(start, pem_files, name):
    module(WORKER_CLASSES[name], WORKER_CLASSES[name])
    found = of_gunicorn(GUNICORN, "--worker-class", name, app="app:asgi" if name == "asgi" else "app:wsgi")
    with start("gunicorn", found=found, two_workers=True) as server:
        assert resumed(server, pem_files[1]) == [7, 7]
        assert "RuntimeWarning: pysidctx" not in server.log.read_text()


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_applications_of_frameworks(start, pem_files, name):
    module(name, name)
    found = of_gunicorn(GUNICORN, app="framework:app")
    with start("gunicorn", found=found, files={**found.files, "framework.py": FRAMEWORKS[name]},
               two_workers=True) as server:
        assert resumed(server, pem_files[1]) == [7, 7]


@pytest.mark.parametrize("name", SEPARATE)
def test_servers_whose_context_one_makes(start, pem_files, secret, name):
    module(name, name)
    with start(name, found=SEPARATE[name], secret=secret) as server:
        assert resumed(server, pem_files[1]) == [7, 7]


def test_fastapi_with_client_certificates(start, client_certificate, pem_files, secret, tmp_path):
    module("fastapi", "fastapi")
    chain = tmp_path / "client.pem"
    client_certificate.private_key_and_cert_chain_pem.write_to_path(chain)
    with start("uvicorn fastapi", found=FASTAPI, secret=secret, two_workers=True) as server:
        for version in VERSIONS:
            client = PythonClient(pem_files[1], version, chain)
            assert visits(client, [server.port], 8)[0] == 7
            assert b"names ['client@a.test']" in client.said
