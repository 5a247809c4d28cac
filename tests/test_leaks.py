"""Nothing leaks; and a leak that is put there is found."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("leaks.py")


@pytest.fixture
def arguments(tmp_path, ca, certificate):
    for blob, name in ((certificate.private_key_and_cert_chain_pem, "server"), (ca.cert_pem, "ca")):
        blob.write_to_path(tmp_path / name)
    return [tmp_path / "server", tmp_path / "ca"]


def run(case, arguments):
    command = [sys.executable, SCRIPT, case, *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("case", ["call", "refused", "new objects", "connections", "fingerprints"])
def test_memory_stays_flat(case, arguments):
    ran = run(case, arguments)
    print(ran.stdout)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_leak_is_found(arguments):
    ran = run("new objects", [*arguments, "--seed-a-leak"])
    assert ran.returncode == 1
    assert "bytes more" in ran.stdout
