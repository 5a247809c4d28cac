"""examples/fleet: the replicas of its Compose file, as processes, with the commands and variables that stand there."""

import os
import re
import shutil
import subprocess
import time

import pytest
from handshakes import VERSIONS
from machine import ROOT, module, program
from readme import EXAMPLES
from server_programs import Program, PythonClient, visits

from loopback.processes import free_port, stop
from loopback.processes import start as begin

pytestmark = pytest.mark.one_python

FOLDER = ROOT / "examples" / "fleet"
WWW, DEVICES = "www.fleet.example", "devices.fleet.example"


@pytest.fixture(scope="module")
def services():
    return module("yaml", "PyYAML").safe_load((FOLDER / "compose.yaml").read_text())["services"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """What make_certificates.sh makes."""
    program("openssl", "openssl")
    folder = tmp_path_factory.mktemp("fleet")
    shutil.copy(FOLDER / "make_certificates.sh", folder)
    subprocess.run(["sh", "make_certificates.sh"], cwd=folder, check=True, capture_output=True)
    return folder / "files"


@pytest.fixture(scope="module")
def replicas(start_lasting, services, files, tmp_path_factory):
    """The two, and Valkey or Redis, each as the file says; Docker would give each its own address and /dev/shm."""
    for name in ("fastapi", "valkey"):
        module(name, name)
    for name in services["first"]["volumes"]:
        assert name == "./files:/run/fleet:ro"
    server = shutil.which("valkey-server") or program("redis-server", "redis-server")
    port, folder = free_port(), tmp_path_factory.mktemp("replicas")
    store = begin([server, *services["valkey"]["command"][1:], "--port", str(port), "--bind", "127.0.0.1"], folder,
                  dict(os.environ))
    running = []
    try:
        for name in ("first", "second"):
            environment = dict(services[name]["environment"], BIND="127.0.0.1", FILES=str(files),
                               PYSIDCTX_SECRET_FILE=str(files / "tickets.secret"), PYSIDCTX_CACHE_SIZE=str(4 << 20),
                               PYSIDCTX_CACHE=str(folder / name), VALKEY_URL=f"valkey://127.0.0.1:{port}/0")
            assert environment.keys() - {"PYSIDCTX_CACHE_SIZE"} == services[name]["environment"].keys()
            del environment["PORT"]
            found = Program({"service.py": (FOLDER / "service.py").read_text(),
                             "serve_fastapi.py": EXAMPLES["serve_fastapi.py"]},
                            tuple(services[name]["command"][1:]), {})
            replica = start_lasting("uvicorn fleet", found=found, environment=environment, name_to_greet=WWW)
            running.append(replica)
            replica.__enter__()
        yield running
    finally:
        for replica in running:
            replica.stop()
        stop(store)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_device_is_resumed_by_the_other_replica(replicas, files, version):
    first, second = replicas
    device = PythonClient(files / "ca.pem", version, files / "device.pem", name=DEVICES)
    assert visits(device, [first.port], 8)[0] == 7
    assert b"names ['device-1.fleet.example']" in device.said
    deadline = time.monotonic() + 20
    while True:
        time.sleep(0.2)  # while the session travels
        if device.visit(second.port)[0]:
            break
        assert time.monotonic() < deadline, "no session comes from the other replica"
        device.visit(first.port)
    www = PythonClient(files / "ca.pem", version, name=WWW)
    assert visits(www, [first.port, second.port], 8)[0] == 7
    www.name = DEVICES
    with pytest.raises(OSError):
        www.visit(first.port)


def test_the_image_has_what_the_service_needs(services):
    """As far as that can be told without Docker."""
    text = (FOLDER / "Dockerfile").read_text()
    assert services["first"]["build"] == {"context": "../..", "dockerfile": "examples/fleet/Dockerfile"}
    copied = re.search(r"^COPY (examples/.*) \./$", text, re.MULTILINE).group(1).split()
    assert all((ROOT / name).is_file() for name in copied)
    assert {"serve_fastapi.py", services["first"]["command"][1]} == {name.rpartition("/")[2] for name in copied}
    assert services["second"] == {**services["first"], "ports": ["8444:8443"]}
