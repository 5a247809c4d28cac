"""`pysidctx stats`: what a server's workers have counted, read from outside."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios

import pytest
from machine import lack

from pysidctx.__main__ import main
from pysidctx.environment import STATS
from pysidctx.lockfree import counts
from pysidctx.lockfree.totals import Totals


@pytest.fixture
def memory(tmp_path):
    """In which three handshakes were counted by another process, two of which were resumed."""
    path = tmp_path / "stats"
    code = ("from pysidctx.servers import stats\nfrom pysidctx.lockfree import counts\n"
            "for name in ['handshakes'] * 3 + ['resumed_by_ticket', 'resumed_stored']: counts.add(name)\n")
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, env={**os.environ, STATS: str(path)})
    return path


@pytest.fixture
def terminal():
    """A new one: the descriptors of both ends."""
    try:
        ends = pty.openpty()
    except OSError as error:
        lack(f"no terminal can be made: {error}")
    yield ends
    os.close(ends[0])


def test_in_words(memory, capsys):
    assert main(["stats", str(memory)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == ["handshakes:          3", "resumed by ticket:   1", "resumed stored:      1",
                         "resumed:             67%"]
    assert len(lines) == len(Totals._fields) + 1


def test_as_json(memory, capsys, monkeypatch):
    monkeypatch.setenv(STATS, str(memory))
    assert main(["stats", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert Totals(**found) == counts.read_totals(memory)
    assert (found["handshakes"], found["tickets_issued"]) == (3, 0)


def test_it_needs_a_name(capsys, monkeypatch):
    monkeypatch.delenv(STATS, raising=False)
    assert main(["stats"]) == 2
    assert "PYSIDCTX_STATS is not set: set it to a path such as /dev/shm/NAME" in capsys.readouterr().err


def test_another_file(tmp_path, capsys):
    (tmp_path / "other").write_bytes(bytes(1000))
    assert main(["stats", str(tmp_path / "other")]) == 2
    assert "contains no counts of pysidctx" in capsys.readouterr().err
    assert main(["stats", str(tmp_path / "none")]) == 2
    assert "No such file" in capsys.readouterr().err


def test_watching_needs_a_terminal(memory, capsys):
    assert main(["stats", str(memory), "--watch"]) == 2
    assert "--watch needs a terminal" in capsys.readouterr().err


def test_an_interval_without_watching(memory, capsys):
    assert main(["stats", str(memory), "--interval", "2"]) == 2
    assert "--interval has a meaning with --watch alone" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "1e9"])
def test_times_that_are_none(memory, capsys, seconds):
    with pytest.raises(SystemExit):
        main(["stats", str(memory), "--watch", f"--interval={seconds}"])
    assert "is out of range" in capsys.readouterr().err


@pytest.mark.parametrize("rows", [40, 10])
def test_watching(memory, terminal, rows):
    """The numbers change on the terminal, which is as it was when the user has pressed Ctrl-C."""
    leader, follower = terminal
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 80, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("LINES", "COLUMNS")}
    process = subprocess.Popen([sys.executable, "-m", "pysidctx", "stats", "--watch", memory, "--interval=0.1"],
                               stdout=follower, stderr=subprocess.PIPE, env=environment)
    os.close(follower)
    shown = b""

    def read_until(wanted):
        nonlocal shown
        while not re.search(wanted, shown):
            shown += os.read(leader, 4096)

    try:
        read_until(b"/s")
        assert b"handshakes:          3\x1b[K" in shown and b"handshakes:          3          0.0/s" in shown
        file = counts.open_file(memory)
        try:
            counts.share(file)
        finally:
            os.close(file)
            before = counts.read_totals(memory).handshakes
        for _ in range(1000):
            counts.add("handshakes")
        read_until(f"handshakes: +{before + 1000:,}".encode())  # the widest number may be of what was counted before
        frames = shown.split(b"\x1b[H")
        assert all(frame.count(b"\n") < rows for frame in frames)
        assert (b"context failures" in frames[1]) == (rows == 40)
        process.send_signal(signal.SIGINT)
        read_until(rb"\x1b\[\?1049l")
        assert (process.wait(20), process.stderr.read()) == (0, b"")
    finally:
        counts.share(None)
        process.kill()
        process.communicate()


def test_a_file_that_is_removed_while_it_is_watched(memory, terminal):
    leader, follower = terminal
    process = subprocess.Popen([sys.executable, "-m", "pysidctx", "stats", "--watch", memory, "--interval=0.1"],
                               stdout=follower, stderr=subprocess.PIPE)
    os.close(follower)
    try:
        shown = os.read(leader, 4096)
        memory.unlink()
        while not shown.endswith(b"\x1b[?1049l"):
            shown += os.read(leader, 4096)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 2 and said.startswith(b"pysidctx stats: [Errno 2] No such file")
    finally:
        process.kill()
        process.communicate()
