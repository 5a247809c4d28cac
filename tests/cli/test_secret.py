"""`python -m pysidctx secret PATH`: a new file for its owner alone."""

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from commands import in_process
from machine import ROOT
from tickets import visit

from pysidctx import SessionCache, TicketKeys, environment
from pysidctx.environment import SECRET_FILE, VARIABLES


def run(*arguments, **options):
    return subprocess.run([sys.executable, "-m", "pysidctx", "secret", *arguments], capture_output=True,
                          text=True, timeout=60, **options)


def test_a_new_secret(tmp_path):
    paths = tmp_path / "one", tmp_path / "other"
    for path in paths:
        ran = run(path, umask=0)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert str(path) in ran.stdout.splitlines()[0]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert len(path.read_bytes()) == 32
        assert f"fingerprint, {TicketKeys.from_secret_file(path).fingerprint}." in ran.stdout
    assert paths[0].read_bytes() != paths[1].read_bytes()


def test_its_last_line_is_for_the_shell(tmp_path):
    folder = tmp_path / "a folder"
    folder.mkdir()
    line = run("secret", cwd=folder).stdout.splitlines()[-1]
    told = subprocess.run(["sh", "-c", f'{line}; echo "$PYSIDCTX_SECRET_FILE"'], capture_output=True, text=True)
    assert told.stdout == f"{folder / 'secret'}\n"


def test_what_was_written_as_json(tmp_path):
    ran = run("secret", "--json", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    fingerprint = TicketKeys.from_secret_file(tmp_path / "secret").fingerprint
    assert json.loads(ran.stdout) == {"file": str(tmp_path / "secret"), "bytes": 32, "fingerprint": fingerprint}
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
    ran = in_process("secret", path)
    assert ran.returncode == 1
    assert "secret' already exists: remove it first" in ran.stderr
    assert [found.read_bytes() for found in tmp_path.iterdir() if found.is_file()] in (
        [], [b"theirs"], [b"theirs"] * 2)


def test_where_nothing_can_be_written(tmp_path):
    ran = in_process("secret", tmp_path / "missing" / "secret")
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


of_both = pytest.mark.parametrize("kind", [TicketKeys, SessionCache], ids=lambda kind: kind.__name__)


@pytest.fixture
def variable(monkeypatch):
    """Sets PYSIDCTX_SECRET_FILE, or removes it."""
    def set_variable(value):
        if value is None:
            monkeypatch.delenv(SECRET_FILE, raising=False)
        else:
            monkeypatch.setenv(SECRET_FILE, str(value))
    return set_variable


def test_the_file_that_the_environment_names(variable, tmp_path, client_ctx, make_server_ctx):
    run("secret", cwd=tmp_path)
    variable(tmp_path / "secret")
    one, other = make_server_ctx(), make_server_ctx()
    TicketKeys.from_secret_file().install(one)
    TicketKeys.from_secret_file(tmp_path / "secret").install(other)
    _, session = visit(one, client_ctx)
    assert visit(other, client_ctx, session)[0]


@pytest.mark.parametrize("content, error, message", [
    (None, FileNotFoundError, "No such file or directory"), (b"", ValueError, "0 bytes long, .* 32 to 1024"),
    (bytes(31), ValueError, "31 bytes long, .* 32 to 1024"), (bytes(1025), ValueError, "1025 bytes .* at most 1024"),
])
@pytest.mark.parametrize("by_variable", [False, True])
@of_both
def test_what_is_wrong_with_the_file_is_told(variable, tmp_path, kind, content, error, message, by_variable):
    """The error says what to do, and names the environment variable if that gave the path."""
    path = tmp_path / "secret"
    if content is not None:
        path.touch(0o600)
        path.write_bytes(content)
    variable(path)
    with pytest.raises(error, match=message) as caught:
        kind.from_secret_file() if by_variable else kind.from_secret_file(path)
    assert str(path) in str(caught.value) and "`python -m pysidctx secret PATH`" in str(caught.value)
    assert (SECRET_FILE in str(caught.value)) == by_variable


@pytest.mark.parametrize("value, message", [(None, "is not set"), ("", "is empty")])
@of_both
def test_a_variable_that_names_nothing(variable, kind, value, message):
    variable(value)
    with pytest.raises(ValueError, match=f"variable {SECRET_FILE} {message}: write a secret with") as caught:
        kind.from_secret_file()
    assert f"export {SECRET_FILE}=" in str(caught.value)


@of_both
def test_no_other_variable_is_taken_for_it(variable, kind):
    with pytest.raises(TypeError):
        kind.from_secret_file(None)
    with pytest.raises(ValueError, match="is empty"):
        kind.from_secret_file("")


@pytest.mark.parametrize("name, meant", [
    ("PYSIDCTX_SECRET_FLIE", SECRET_FILE), ("PYSIDCTX_SECRETFILE", SECRET_FILE), ("pysidctx_secret_file", SECRET_FILE),
    ("PYSIDCTX_OPENSSL", "PYSIDCTX_OPENSSL_DIR"), ("PYSIDCTX_SECRET", SECRET_FILE),
    ("PYSIDCTX_BIND", "PYSIDCTX_BINDING"), ("PYSIDCTX_CACHES", "PYSIDCTX_CACHE"),
    ("PYSIDCTX_LIFETME", environment.LIFETIME), ("PYSIDCTX_IDCONTEXT", environment.ID_CONTEXT),
    ("PYSIDCTX_PERIODS", environment.PERIOD), ("PYSIDCTX_STAT", environment.STATS),
])
def test_a_misspelt_variable(monkeypatch, name, meant):
    monkeypatch.setenv(name, "x")
    with pytest.warns(RuntimeWarning, match=f"unknown environment variable {name}: did you mean {meant}\\?"):
        environment.warn_of_unknown()


def test_a_misspelt_variable_is_told_by_the_import():
    name = "PYSIDCTX_SECRET_FLIE"
    ran = subprocess.run([sys.executable, "-c", "import pysidctx"], env={**os.environ, name: "x"},
                         capture_output=True, text=True)
    assert ran.returncode == 0
    assert f"RuntimeWarning: unknown environment variable {name}: did you mean {SECRET_FILE}?" in ran.stderr


def test_warnings_are_logged_on_request(tmp_path):
    """As docs/logging.md says."""
    code = "import logging\nlogging.basicConfig(filename='log')\nlogging.captureWarnings(True)\nimport pysidctx"
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
                         env={**os.environ, "PYSIDCTX_NOTHING": "x"})
    assert (ran.returncode, ran.stderr) == (0, "")
    told = (tmp_path / "log").read_text()
    assert "py.warnings" in told
    assert "PYSIDCTX_NOTHING: pysidctx knows PYSIDCTX_SECRET_FILE, " in told  # it resembles none


@pytest.mark.source
def test_every_variable_is_known():
    """The variables in the code and in the documentation are those that pysidctx accepts, and no others."""
    found = set()
    for path in [*(ROOT / "pysidctx").rglob("*.py*"), *(ROOT / "tests").rglob("*.py"), ROOT / "setup.py",
                 *ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "Makefile", *(ROOT / ".ci").iterdir()]:
        if path.suffix != ".pyc" and path.name != Path(__file__).name:
            found |= set(re.findall(r"\bPYSIDCTX_(?:[A-Z]+_)*(?:FILE|DIR|SEED|BINDING|CACHE|CACHE_SIZE|CACHE_WHEN|"
                                    r"STATS|ID_CONTEXT|LIFETIME|PERIOD)\b", path.read_text()))
    assert found == set(environment.VARIABLES)


@pytest.mark.source
def test_every_variable_that_is_read_is_known():
    sources = [ROOT / "setup.py", *(path for folder in ("pysidctx", "tests", "benchmarks")
                                    for path in (ROOT / folder).rglob("*.py"))]
    read = {name for path in sources
            for name in re.findall(r"environ\S*?[(\[]\"(PYSIDCTX_\w+)\"", path.read_text())}
    # Those are read by the functions of environment.py.
    assert VARIABLES.keys() == read | {
        SECRET_FILE, environment.CACHE, environment.CACHE_SIZE, environment.CACHE_WHEN, environment.STATS,
        environment.ID_CONTEXT, environment.LIFETIME, environment.PERIOD}
