"""`python -m pysidctx secret PATH`: a new file for its owner alone."""

import json
import os
import stat
import subprocess
import sys

import pytest

from pysidctx import TicketKeys


def run(*arguments, **options):
    return subprocess.run([sys.executable, "-m", "pysidctx", "secret", *arguments], capture_output=True,
                          text=True, timeout=60, **options)


def test_a_new_secret(tmp_path):
    paths = tmp_path / "one", tmp_path / "other"
    for path in paths:
        ran = run(path, umask=0)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert len(path.read_bytes()) == 32
        TicketKeys.from_secret_file(path)
    assert paths[0].read_bytes() != paths[1].read_bytes()


def test_what_was_written_as_json(tmp_path):
    ran = run("secret", "--json", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout) == {"file": str(tmp_path / "secret"), "bytes": 32}
    assert (tmp_path / "secret").stat().st_size == 32


@pytest.mark.parametrize("kind", ["file", "link", "dangling link", "folder"])
def test_never_over_what_exists(tmp_path, kind):
    path, other = tmp_path / "secret", tmp_path / "other"
    if kind == "folder":
        path.mkdir()
    elif kind == "file":
        path.write_bytes(b"theirs")
    else:
        path.symlink_to(other)
        if kind == "link":
            other.write_bytes(b"theirs")
    ran = run(path)
    assert ran.returncode == 1
    assert "secret' exists: remove it first" in ran.stderr
    assert [found.read_bytes() for found in tmp_path.iterdir() if found.is_file()] in (
        [], [b"theirs"], [b"theirs"] * 2)


def test_where_nothing_can_be_written(tmp_path):
    ran = run(tmp_path / "missing" / "secret")
    assert ran.returncode == 1
    assert "no secret was written" in ran.stderr and "Traceback" not in ran.stderr


def test_nothing_is_left_where_the_disk_is_full(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("this machine has no /dev/full")
    code = (
        "import os, sys\n"
        "from pysidctx import private_files\n"
        "private_files.write_all = lambda stream, data: open('/dev/full', 'wb', 0).write(data)\n"
        "from pysidctx.__main__ import main\n"
        "sys.exit(main(['secret', sys.argv[1]]))")
    ran = subprocess.run([sys.executable, "-c", code, tmp_path / "secret"], capture_output=True,
                         text=True)
    assert ran.returncode == 1
    assert "No space left" in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_command_needs_nothing_else(tmp_path):
    """It is for servers, where the command line's extra is not installed."""
    code = ("import sys; sys.modules['rich'] = None; sys.argv[0] = 'pysidctx'\n"
            "from pysidctx.__main__ import main; sys.exit(main())")
    ran = subprocess.run([sys.executable, "-c", code, "secret", tmp_path / "secret"],
                         capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
