"""`demo`: its comparison of plain ssl and pysidctx, its exit codes, and that it leaves nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pysidctx.cli.demo import command as demo

WORKERS = 2  # of each server
SHORT = f"""
import functools, shutil, sys
from pysidctx.__main__ import main
from pysidctx.cli.demo import clients, command as demo
demo.KINDS[demo.OURS], demo.SECONDS, certificates = sys.argv[1], float(sys.argv[2]), sys.argv[3]
demo.ROUNDS, clients.CLIENTS = 2, 4
if certificates:
    demo.WORKERS, demo.Options = {WORKERS}, functools.partial(demo.Options, connections=3)
    demo.write_certificates = lambda folder: shutil.copytree(certificates, folder, dirs_exist_ok=True)
sys.exit(main(["demo", *sys.argv[4:]]))
"""


def short(*arguments, kind="pysidctx", seconds=0, certificates=""):
    """A command that runs the demo with few and short turns, and with a server of this kind as the second one.

    With a folder of certificates, it makes none, which takes long for RSA, and has fewer workers and shorter audits.
    """
    return [sys.executable, "-c", SHORT, kind, str(seconds), str(certificates), *map(str, arguments)]


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=250, **options)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    demo.write_certificates(folder)
    return folder


def servers(folder):
    """The ids of the demo's servers that still run with their files in `folder`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            said = path.read_bytes()
            if b"pysidctx.cli.demo.server" in said and os.fsencode(folder) in said:
                found.append(path.parent.name)
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    ran = run(short("--plot", folder / "picture.png", seconds=0.1), env=dict(os.environ, TMPDIR=str(folder)))
    print(ran.stdout)  # what a failure shows of it
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout, folder


def test_both_servers_are_audited(shown):
    before, _, after = shown[0].partition("pysidctx check, of the server with pysidctx")
    after, _, cached = after.partition("pysidctx check, of the server with session cache")
    assert "fault  TLS 1.2; TLS 1.3: bank.test accepts a client without a certificate" in before
    assert "is resumed for" in before
    assert "ok     TLS 1.2; TLS 1.3: bank.test rejects clients without a certificate" in after
    for audit in (after, cached):
        assert "9 of 9 returning connections were resumed" in audit
        assert "fault" not in audit.partition("Clients that come back")[0].replace("faults: 0", "")
    assert "ok     TLS 1.2, session id; TLS 1.3: 9 of 9 returning connections were resumed" in cached
    assert "which name sessions that the server stores" in cached


def test_a_table_compares_them(shown):
    first, _, second = shown[0].partition("Clients with certificates that come back to bank.test")
    rows = {line[:30].strip(): line[30:].split() for line in first.splitlines()}
    assert rows["resumed, on the same host"][2:] == ["100", "%"]
    assert int(rows["resumed, on the same host"][0]) < 100
    assert rows["resumed, on the wrong host"][2:] == ["0", "%"]
    assert int(rows["resumed, on the wrong host"][0]) > 0
    assert rows["let in without certificate"] == ["100", "%", "0", "%"]
    certified = {line[:30].strip(): line[30:].split() for line in second.splitlines()}
    assert certified["resumed, by any worker"] == ["100", "%", "100", "%"]
    for figure in demo.FIGURES:
        for table in (rows, certified):
            former, latter, median, *spread = table[figure]
            assert int(former) > 0 and int(latter) > 0 and float(median) > 0 and len(spread) == 3


def test_its_last_line_says_it_all(shown):
    lines = shown[0].splitlines()
    counts = re.fullmatch(
        r"pysidctx resumes (\d+) of (\d+); never crosses 2 names; client certificates demanded by bank.test. "
        r"plain ssl resumes (\d+) %; crosses in (\d+) %; lets in 100 % without a certificate.", lines[-1])
    resumed, returned, by_plain, crossed = map(int, counts.groups())
    assert resumed == returned > 0 and by_plain < 100 and crossed > 0
    # And so do the audits.
    assert [line for line in lines if line.startswith("resumes ")] == [
        "resumes 9 of 9 (TLS 1.2 tickets, TLS 1.3); never crosses 2 names; client certificates demanded by bank.test",
        "resumes 9 of 9 (TLS 1.2 tickets) on shop.test, 9 of 9 (TLS 1.2 session ids, TLS 1.3); never crosses 2 names; "
        "client certificates demanded by bank.test"]
    assert any(line.startswith("fault: bank.test accepts a client without a certificate") for line in lines)


def test_it_is_short(shown):
    assert len(shown[0].splitlines()) < 70


def test_it_leaves_the_picture_alone_behind(shown):
    folder = shown[1]
    assert [path.name for path in folder.iterdir()] == ["picture.png"]
    assert (folder / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_it_prints_json(certificates):
    ran = run(short("--json", certificates=certificates))
    assert (ran.returncode, ran.stderr) == (0, "")
    sides = json.loads(ran.stdout)
    assert list(sides) == ["plain ssl", "pysidctx", "session cache"]
    assert sides["plain ssl"]["faults"] and not sides["pysidctx"]["faults"] and not sides["session cache"]["faults"]
    for name, side in sides.items():
        of_all = 2 * (name != "session cache"), 2 * (name != "plain ssl")
        assert (len(side["turns"]), len(side["turns with client certificates"])) == of_all
        if side["turns"]:
            assert set(side["shares"]) == {"resumed, on the same host", "resumed, on the wrong host",
                                           "let in without certificate"}
        assert {finding["grade"] for finding in side["findings"]} <= {"ok", "info", "note", "fault"}


def test_a_fault_with_pysidctx_ends_in_1(certificates):
    """The second server is made a plain one for this."""
    ran = run(short(kind="plain", certificates=certificates))
    assert ran.returncode == 1
    assert "FAULT with pysidctx: " in ran.stdout and "FAULT with session cache" not in ran.stdout
    assert ran.stdout.splitlines()[-1].startswith(
        "fault with pysidctx: bank.test accepts a client without a certificate, in a full handshake; and ")
    assert "were accepted without a certificate" in ran.stdout
    assert "were not resumed" in ran.stdout
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("when", ["at once", "when they serve"])
def test_its_servers_end_with_it(tmp_path, certificates, when):
    """Even if the demo is killed. Its folder is left behind then, inside this test's own."""
    process = subprocess.Popen(short(certificates=certificates), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               text=True, env=dict(os.environ, TMPDIR=str(tmp_path)))
    wait_until(lambda: servers(tmp_path))
    if when == "when they serve":
        wait_until(lambda: len(servers(tmp_path)) == len(demo.KINDS) * (1 + WORKERS))
    process.kill()
    process.communicate()
    wait_until(lambda: not servers(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_is_stopped_without_a_trace(tmp_path, certificates, number):
    process = subprocess.Popen(short(certificates=certificates), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, env=dict(os.environ, TMPDIR=str(tmp_path)),
                               # What was started in the background of a shell ignores it.
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    wait_until(lambda: len(servers(tmp_path)) == len(demo.KINDS) * (1 + WORKERS))
    process.send_signal(number)
    said = process.communicate(timeout=200)
    assert process.returncode == 128 + number
    assert "Traceback" not in said[1]
    assert not list(tmp_path.iterdir())
    wait_until(lambda: not servers(tmp_path))


def wait_until(done):
    deadline = time.monotonic() + 200
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_narrow_terminal_keeps_the_figures(certificates):
    """There are figures even if the turns are too short to measure anything."""
    ran = run(short(certificates=certificates), env=dict(os.environ, COLUMNS="40"))
    assert ran.returncode == 0
    assert "let in without certificate" in ran.stdout and "ratio, by turns" in ran.stdout


def test_a_picture_that_cannot_be_drawn(tmp_path):
    names = "missing/picture.png", "picture.xyz", "picture", ""
    each = ("import sys; from pysidctx.__main__ import main; "
            "print(*(main(['demo', '--plot', path]) for path in sys.argv[1:]))")
    ran = run([sys.executable, "-c", each, *(f"{tmp_path}/{name}" for name in names)])
    assert ran.stdout.split() == ["2"] * len(names)
    missing, *others = ran.stderr.splitlines()
    assert "is not a writable folder" in missing
    assert len(others) == 3 and all("does not have the extension of an image format: " in line for line in others)
    (tmp_path / "matplotlib.py").write_text("raise ModuleNotFoundError('no', name='matplotlib')")
    ran = run([sys.executable, "-m", "pysidctx", "demo", "--plot", tmp_path / "picture.png"], cwd=tmp_path)
    assert ran.returncode == 2
    assert "pysidctx[plot]" in ran.stderr
