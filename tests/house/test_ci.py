"""`.ci/run` and `.ci/debian`: what they run, and what they say where they cannot."""

import os
import shutil
import subprocess

import pytest
from machine import ROOT

pytestmark = pytest.mark.source


@pytest.fixture
def programs(tmp_path):
    """A folder of programs that come before the machine's."""
    folder = tmp_path / "programs"
    folder.mkdir()

    def put(name, script):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    put.environment = dict(os.environ, PATH=f"{folder}{os.pathsep}{os.environ['PATH']}", PYTHONHASHSEED="0")
    return put


@pytest.fixture
def run(programs, tmp_path):
    """`.ci/run`, with programs that say what they were asked for; one Python may be missing, and one fail."""
    scripts = tmp_path / ".ci"
    scripts.mkdir()
    shutil.copy(ROOT / ".ci" / "run", scripts)
    (scripts / "peers").touch()
    (scripts / "debian").write_text('#!/bin/sh\necho "debian $@"\n')
    (scripts / "debian").chmod(0o755)

    def run(missing="", failing="none"):
        for version in ("3.12", "3.13"):
            programs(f"python{version}", f"exit {int(version == missing)}")
        programs("make", f'echo "make $@" $(env | grep -c ^PYTHON); case $2 in *{failing}) exit 2;; esac')
        return subprocess.run(["bash", scripts / "run"], env=dict(programs.environment, PYENV_ROOT=str(tmp_path)),
                              capture_output=True, text=True)

    return run


def lines(ran, word):
    return [line for line in ran.stdout.splitlines() if line.startswith(word)]


def test_the_suite_runs_on_three_pythons_without_python_s_own_variables(run):
    ran = run()
    assert (ran.returncode, ran.stderr) == (0, "")
    first, second, wheel = lines(ran, "make ")
    assert first.startswith("make test PYTHON=") and first.endswith("python3.12 ARGS=-m 'not one_python' 0")
    assert second.endswith("python3.13 0")
    assert wheel.startswith("make matrix ARGS=sid-3.15 -- ") and wheel.endswith(" 0")
    (newest,) = lines(ran, "debian ")
    assert newest.startswith("debian sid ") and "make test PYTHON=$PYTHON" in newest


@pytest.mark.parametrize("options", [{"failing": "3.12"}, {"missing": "3.12"}])
def test_one_that_fails_keeps_none_of_the_others_from_running(run, options):
    ran = run(**options)
    assert ran.returncode == 1
    assert "== failed: CPython 3.12\n" in ran.stderr
    assert len(lines(ran, "make ")) == 3 - ("missing" in options)
    assert lines(ran, "debian ")


def debian(environment, **options):
    return subprocess.run([ROOT / ".ci" / "debian", "sid", "true"], env=environment, capture_output=True, text=True,
                          **options)


def test_to_make_a_debian_takes_root(programs, tmp_path):
    programs("id", "echo 1000")
    ran = debian(dict(programs.environment, XDG_CACHE_HOME=str(tmp_path / "cache")))
    assert ran.returncode == 1
    assert ran.stderr.startswith("Debian sid: this takes root")
    assert not (tmp_path / "cache").exists()


def test_to_make_a_debian_takes_mounts(programs, tmp_path):
    programs("id", "echo 0")
    programs("unshare", "exit 1")
    ran = debian(dict(programs.environment, XDG_CACHE_HOME=str(tmp_path / "cache")))
    assert ran.returncode == 1
    assert "CAP_SYS_ADMIN" in ran.stderr
    assert not (tmp_path / "cache").exists()
