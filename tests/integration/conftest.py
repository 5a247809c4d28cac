"""Real servers, with clients that come back to them."""

from itertools import count

import pytest
from handshakes import VERSIONS
from machine import lack, module
from peers import write_certificates
from server_programs import PROGRAMS, ProgramClient, PythonClient, Running, new_secret


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


@pytest.fixture
def start(tmp_path, certificate, files_of_hosts):
    """A server by the name of its example, as a context manager; two workers are enough where others are beside it."""
    numbers = count()

    def starting(name, *, found=None, certificate=certificate, two_workers=False, **options):
        if "uvicorn" in name:
            needs_the_hook()
        program = found or PROGRAMS[name]
        if two_workers:
            program = program.with_two_workers()
        return Running(program, tmp_path / f"{name} {next(numbers)}", certificate=certificate,
                       pem_files=files_of_hosts, **options)

    return starting


def needs_the_hook():
    if not hasattr(module("uvicorn", "uvicorn").Config(None, log_config=None), "ssl_context_factory"):
        lack("this uvicorn has no ssl_context_factory: install 0.47 or later")
