"""`.ci/prepare`, which `make` runs first: what it does where a compiler and OpenSSL are missing."""

import shutil
import subprocess
import sys

import pytest
from machine import ROOT

pytestmark = pytest.mark.source

PACKAGES = "gcc libc6-dev git openssl libssl-dev"


@pytest.fixture
def machine(tmp_path):
    """A PATH with nothing on it but a package manager that notes what it is asked for."""

    def make(user, package_manager=f'echo "$@" >> {tmp_path}/asked'):
        programs = {"id": f"echo {user}"}
        if package_manager:
            programs["apt-get"] = package_manager
        for name, script in programs.items():
            (tmp_path / name).write_text(f"#!{shutil.which('sh')}\n{script}\n")
            (tmp_path / name).chmod(0o755)
        return subprocess.run([shutil.which("sh"), ROOT / ".ci" / "prepare", sys.executable],
                              env={"PATH": str(tmp_path)}, capture_output=True, text=True)

    return make


def test_root_installs_what_is_missing(machine, tmp_path):
    ran = machine(user=0)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == f"Installing by apt-get, with what they need: {PACKAGES}\n"
    update, install = (tmp_path / "asked").read_text().splitlines()
    assert update.startswith("update")
    assert install.startswith("install") and install.endswith(f" {PACKAGES}")


@pytest.mark.parametrize("sudo", [True, False])
def test_others_are_told_the_one_command(machine, tmp_path, sudo):
    if sudo:
        shutil.copy(shutil.which("true"), tmp_path / "sudo")
    ran = machine(user=1000)
    assert ran.returncode == 1
    told = f"    apt-get update && apt-get install --no-install-recommends {PACKAGES}\n"
    assert (told.replace("apt-get", "sudo apt-get") if sudo else told) in ran.stderr
    assert ("as root" in ran.stderr) is not sudo
    assert not (tmp_path / "asked").exists()


def test_what_apt_says_is_shown_where_it_fails(machine):
    ran = machine(user=0, package_manager="echo no such package; exit 100")
    assert ran.returncode == 1
    assert "no such package" in ran.stderr


def test_elsewhere_the_packages_are_named(machine):
    ran = machine(user=0, package_manager=None)
    assert ran.returncode == 1
    assert PACKAGES in ran.stderr


def test_where_nothing_is_missing_it_does_nothing():
    ran = subprocess.run(["sh", ROOT / ".ci" / "prepare", sys.executable], capture_output=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")
