"""Real servers, with clients that come back to them."""

from itertools import count
from pathlib import Path

import certified_app
import pytest
from handshakes import VERSIONS
from machine import lack, module
from peers import write_certificates
from server_programs import CACHED_PROGRAMS, PROGRAMS, ProgramClient, PythonClient, Running, new_secret


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of peers: their certificates, and a key for tickets."""
    made = tmp_path_factory.mktemp("peers")
    write_certificates(made)
    (made / "key").write_bytes(bytes(range(80)))
    return made


@pytest.fixture
def returning(pem_files, tmp_path):
    """Clients of both kinds, for both versions."""
    return ([PythonClient(pem_files[1], version) for version in VERSIONS]
            + [ProgramClient(pem_files[1], version, tmp_path) for version in VERSIONS])


@pytest.fixture
def secret(tmp_path):
    return new_secret(tmp_path)


@pytest.fixture(scope="module")
def lasting_secret(tmp_path_factory):
    return new_secret(tmp_path_factory.mktemp("secret"))


@pytest.fixture
def start(tmp_path, certificate, files_of_hosts):
    """A server by the name of its example, as a context manager; two workers are enough where others are beside it.

    `client_cas`, in PEM, are further CAs of its clients.
    """
    return starter(tmp_path, certificate, files_of_hosts)


@pytest.fixture(scope="module")
def start_lasting(tmp_path_factory, certificate, files_of_hosts):
    """The same for fixtures whose server serves several tests."""
    return starter(tmp_path_factory.mktemp("lasting"), certificate, files_of_hosts)


def starter(folder, of_server, files_of_hosts):
    numbers = count()

    def starting(name, *, found=None, certificate=of_server, two_workers=False, client_cas="", **options):
        if "uvicorn" in name:
            needs_the_hook()
        program = found or PROGRAMS[name]
        if two_workers:
            program = program.with_workers(2)
        return Running(program, folder / f"{name} {next(numbers)}", certificate=certificate,
                       pem_files={**files_of_hosts, "clients-ca.pem": files_of_hosts["clients-ca.pem"] + client_cas},
                       **options)

    return starting


@pytest.fixture
def start_cached(start, tmp_path, secret):
    """The same, of those that store sessions."""
    return cached_starter(start, tmp_path, secret)


@pytest.fixture(scope="module")
def start_lasting_cached(start_lasting, tmp_path_factory, lasting_secret):
    return cached_starter(start_lasting, tmp_path_factory.mktemp("cache"), lasting_secret)


def cached_starter(start, folder, secret):
    def starting(name, **options):
        found = CACHED_PROGRAMS[name]
        if found.needs_secret:
            memory = {"PYSIDCTX_CACHE": str(folder / "memory"), "PYSIDCTX_CACHE_SIZE": str(4 << 20)}
            options = {"secret": secret, "environment": memory, **options}
        files = {**found.files, "app.py": Path(certified_app.__file__).read_text()}
        return start(name, found=found, files=files, **options)

    return starting


@pytest.fixture
def hook_of_uvicorn():
    needs_the_hook()


def needs_the_hook():
    if not hasattr(module("uvicorn", "uvicorn").Config(None, log_config=None), "ssl_context_factory"):
        lack("this uvicorn has no ssl_context_factory: install 0.47 or later", since=(3, 10))
