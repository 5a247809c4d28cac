"""`python -m pysidctx demo`: right where all is well, and wrong where it is not."""

import re
import subprocess
import sys

import pytest
from machine import program

COMMAND = [sys.executable, "-m", "pysidctx"]


@pytest.fixture(scope="module", autouse=True)
def openssl():
    return program("openssl", "openssl")


def rows(output):
    return re.findall(r"TLS (1\.[23])\s+(yes|no)\s+(\S+)\s+(\S+)\s+(\S+)", output)


def test_sessions_stay_within_their_id_context():
    ran = subprocess.run([*COMMAND, "demo"], capture_output=True, text=True, timeout=100)
    assert (ran.returncode, ran.stderr) == (0, "")
    seen = rows(ran.stdout)
    plain, isolated = seen[:4], seen[4:]
    assert {row[:2] for row in plain} == {(v, t) for v in ("1.2", "1.3") for t in ("yes", "no")}
    assert {row[2:] for row in plain} == {("Reused", "Reused", "ok")}
    assert len(isolated) == 8
    assert {row[2:] for row in isolated} == {("Reused", "New", "ok")}


def test_a_fault_is_seen_and_ends_in_1():
    """With a library that sets nothing, every row that is to be isolated is wrong."""
    code = ("import pysidctx, sys; pysidctx.set_session_id_context = lambda target, sid_ctx: None;"
            "from pysidctx.cli import demo; sys.exit(demo.run())")
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert ran.returncode == 1
    assert [row[4] for row in rows(ran.stdout)] == ["ok"] * 4 + ["WRONG,"] * 8
    assert "8 of 12 rows are wrong" in ran.stdout


def test_a_server_that_fails_is_a_wrong_cell():
    code = ("import pysidctx, sys;"
            "pysidctx.set_session_id_context = lambda target, sid_ctx: bytes(-1);"  # a ValueError
            "from pysidctx.cli import demo; demo.CASES = [case for case in demo.CASES"
            " if case.where == 'connection'][:1]; sys.exit(demo.run())")
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert ran.returncode == 1
    assert "1 of 1 rows are wrong" in ran.stdout
    assert "Traceback" not in ran.stderr


def test_without_openssl_it_says_what_to_install(tmp_path):
    code = ("import os, sys; os.environ['PATH'] = sys.argv[1];"
            "from pysidctx.cli import demo; sys.exit(demo.run())")
    ran = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True)
    assert ran.returncode == 2
    assert "apt-get install openssl" in ran.stdout


def test_without_rich_it_says_what_to_install(tmp_path):
    (tmp_path / "rich.py").write_text("raise ModuleNotFoundError('no rich', name='rich')")
    ran = subprocess.run([*COMMAND, "demo"], capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 2
    assert "pysidctx[cli]" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_help_names_the_commands():
    ran = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True)
    assert ran.returncode == 0
    assert "demo" in ran.stdout
    assert subprocess.run(COMMAND, capture_output=True).returncode == 2
