"""`check --metrics`: what Prometheus reads of an audit, of one that fails, and how the file is written."""

import json
import os
import signal
import ssl
import subprocess
import sys
import time

import pytest
from audited import COMMAND, SESSION_ID, TICKET, TLS13, crossing, plain_ssl, ran, ran_here, report, resumption, serving
from peers import A, B
from prometheus_client.parser import text_string_to_metric_families
from servers import accepting

from pysidctx.cli.check import report_metrics, whole_file
from pysidctx.cli.check.audit import Way
from pysidctx.cli.check.verdicts import Finding

pytestmark = pytest.mark.one_python

BOTH = "--name", A, "--name", B


def samples(text):
    """Values by metric and labels, but for the target, which all have."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.name.startswith("pysidctx_check_") and family.type == "gauge" and family.documentation
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("target")
            key = sample.name[len("pysidctx_check_"):], *(labels[each] for each in ("name", "version", "way")
                                                         if each in labels)
            assert key not in found
            found[key] = sample.value
    return found


def of(made):
    return samples(report_metrics.of_report(made, "shop.test:443").decode())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "shop.prom"


def test_what_a_real_audit_leaves(make_server_ctx, path):
    """The same numbers as in its JSON."""
    begun = time.time()
    with serving(plain_ssl(make_server_ctx)) as port:
        done = ran_here(port, *BOTH, "--demands", B, "--metrics", path, "--json")
    assert (done.returncode, done.stderr) == (1, "")
    said, found = json.loads(done.stdout), samples(path.read_text())
    assert found["success",] == 1
    assert begun <= found["timestamp_seconds",] <= time.time()
    assert found["connections",] == said["connections"]
    assert found["duration_seconds",] == pytest.approx(said["seconds"], abs=0.001)
    for grade in ("fault", "note"):
        assert sum(value for key, value in found.items() if key[0] == f"{grade}s") == said[f"{grade}s"] > 0
    assert found["faults", B, "TLS 1.2"] == found["faults", B, "TLS 1.3"] == 1 and found["faults", A, "TLS 1.3"] == 0
    for each in said["findings"]:
        place = each["name"], *each["versions"]
        if each["check"] == "resumption":
            assert found[("resumed_ratio", *place, each["way"])] == each["resumed"] / each["tried"]
            assert found[("returning_connections", *place, each["way"])] == each["tried"]
            assert found[("resumed_connections", *place, each["way"])] == each["resumed"]
        if each["check"] == "ticket":
            assert found[("ticket_size_bytes", *place)] == each["bytes"]
            assert found[("ticket_lifetime_seconds", *place)] == each["seconds"] == 7200
    for name in (A, B):
        for version, ways in (("TLS 1.2", 2), ("TLS 1.3", 1)):
            assert found["offered_sessions", name, version] == found["crossed_sessions", name, version] == ways


def test_what_is_not_known_is_left_out():
    found = of(report(
        resumption(TICKET, A, 3), Finding("resumption", TICKET, "info", "not offered", name=B),
        resumption(SESSION_ID, B, 9),
        Finding("resumption", Way("TLS 1.3"), "note", "none is offered", "w", "d", name=A),
        resumption(TLS13, B, 0, tried=0, grade="note", seen="could not be tried"),
        crossing(TICKET, A, B, 1), crossing(TLS13, A, B, 0, tried=0, grade="note"),
        Finding("ticket", TICKET, "ok", "tickets", name=A, bytes=192)))
    ratios = {key[1:]: value for key, value in found.items() if key[0] == "resumed_ratio"}
    assert ratios == {(A, "TLS 1.2", "ticket"): 3 / 9, (B, "TLS 1.2", "session id"): 1, (A, "TLS 1.3", ""): 0}
    assert found["returning_connections", B, "TLS 1.3", "ticket"] == 0
    assert ("crossed_sessions", B, "TLS 1.2") in found and ("crossed_sessions", B, "TLS 1.3") not in found
    assert not any(key[0] == "ticket_lifetime_seconds" for key in found)


def test_names_are_escaped():
    odd = 'a"b\\c\n'
    assert of(report(resumption(TICKET, odd, 9), names=(odd,)))["resumed_ratio", odd, "TLS 1.2", "ticket"] == 1


def test_without_a_name():
    assert of(report(resumption(TICKET, None, 9), names=()))["resumed_ratio", "", "TLS 1.2", "ticket"] == 1


def left_by_yesterday(path):
    path.write_text("pysidctx_check_success 1\n")


def test_an_audit_that_fails_leaves_no_success_standing(path):
    left_by_yesterday(path)
    done = ran_here(1, "--metrics", path)
    assert done.returncode == 2 and "cannot be reached" in done.stderr
    found = samples(path.read_text())
    assert found.pop(("timestamp_seconds",)) > 0
    assert found == {("success",): 0}


def test_an_audit_that_ends_early_is_no_success(make_server_ctx, path):
    with serving(make_server_ctx()) as port:
        assert ran_here(port, "--metrics", path, "--most-connections", "7").returncode == 3
    assert samples(path.read_text())["success",] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_audit_that_is_stopped_leaves_no_success_standing(path, number):
    """As by timeout(1)."""
    left_by_yesterday(path)
    accepted = []
    with accepting(accepted.append) as (_, port):
        process = subprocess.Popen(
            [*COMMAND, f"127.0.0.1:{port}", "--metrics", str(path), "--timeout", "60"], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        deadline = time.monotonic() + 60
        while not accepted and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(number)
        said = process.communicate(timeout=60)
        for plain in accepted:
            plain.close()
    assert (process.returncode, *said) == (128 + number, b"", b"")
    assert samples(path.read_text())["success",] == 0


def test_a_fault_in_the_report_leaves_no_success_standing(make_server_ctx, path):
    left_by_yesterday(path)
    code = ("import sys; from pysidctx.__main__ import main; from pysidctx.cli.check import report_metrics;"
            "report_metrics.of_report = lambda *_: 1 // 0; main(sys.argv[1:])")
    with serving(make_server_ctx()) as port:
        done = subprocess.run(
            [sys.executable, "-c", code, "check", f"127.0.0.1:{port}", "--name", A, "--metrics", path],
            capture_output=True, text=True)
    assert "ZeroDivisionError" in done.stderr
    assert samples(path.read_text())["success",] == 0


@pytest.mark.parametrize("umask, mode", [(0o022, 0o644), (0o027, 0o640), (0, 0o644)])
def test_the_collector_may_read_it(path, umask, mode):
    subprocess.run([*COMMAND, "127.0.0.1:1", "--metrics", path], umask=umask, stderr=subprocess.DEVNULL)
    assert path.stat().st_mode & 0o777 == mode
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_reader_never_sees_a_part(path, monkeypatch):
    path.write_text("old")
    seen = []
    real = os.replace

    def replace(source, target):
        seen.extend([path.read_text(), os.path.basename(source)])
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    whole_file.write(str(path), b"new")
    assert seen[0] == "old" and path.read_text() == "new"
    assert not seen[1].endswith(".prom")  # which would be read, too

    monkeypatch.setattr(os, "fsync", lambda file: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        whole_file.write(str(path), b"newer")
    assert path.read_text() == "new" and len(os.listdir(path.parent)) == 1


def test_links_and_devices(path, tmp_path):
    """A symbolic link is kept, and a device is written to."""
    (tmp_path / "link").symlink_to(path)
    whole_file.write(str(tmp_path / "link"), b"text")
    assert (tmp_path / "link").is_symlink() and path.read_bytes() == b"text"
    done = ran(1, "--metrics", "/dev/stdout")
    assert samples(done.stdout)["success",] == 0


@pytest.mark.parametrize("name", ["missing/shop.prom", ".", ""])
@pytest.mark.parametrize("option", ["--metrics", "--html"])
def test_a_file_that_cannot_be_written(make_server_ctx, tmp_path, name, option):
    """The error comes before the first connection."""
    made = []
    with accepting(made.append) as (_, port):
        done = ran_here(port, option, tmp_path / name if name else "")
    assert done.returncode == 2 and not made
    assert f"{option}: " in done.stderr and "cannot be written" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("page", ["/nonexistent/page.html", "/dev/full"])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_page_that_cannot_be_written_is_no_success(make_server_ctx, path, page, options):
    left_by_yesterday(path)
    with serving(make_server_ctx()) as port:
        done = ran_here(port, "--name", A, "--html", page, "--metrics", path, *options)
    assert done.returncode == 2 and samples(path.read_text())["success",] == 0
    assert page in done.stderr or page in done.stdout
    if options:
        said = json.loads(done.stdout)
        assert "error" in said if page.startswith("/nonexistent") else said["finished"]
    else:
        assert ("faults: 0" in done.stdout) == (page == "/dev/full")


def test_metrics_that_cannot_be_written_hide_no_report(make_server_ctx, tmp_path):
    with serving(make_server_ctx()) as port:
        done = ran_here(port, "--name", A, "--html", tmp_path / "page.html", "--metrics", "/dev/full", "--json")
        failed = ran_here(1, "--html", tmp_path / "failed.html", "--metrics", "/dev/full", "--json")
    assert done.returncode == 2 and json.loads(done.stdout)["finished"]
    assert failed.returncode == 2 and "cannot be reached" in json.loads(failed.stdout)["error"]
    for each in (done, failed):
        assert "--metrics: '/dev/full' cannot be written" in each.stderr
    assert (tmp_path / "page.html").exists() and (tmp_path / "failed.html").exists()


def test_without_prometheus_client(tmp_path):
    (tmp_path / "prometheus_client.py").write_text("raise ModuleNotFoundError('no', name='prometheus_client')")
    done = ran(1, "--metrics", tmp_path / "shop.prom", cwd=tmp_path)
    assert done.returncode == 2 and "python -m pip install '.[cli]'" in done.stderr
    assert "cannot be reached" in ran(1, cwd=tmp_path).stderr  # and nothing else needs it


def test_a_least_share_that_is_not_met_is_a_fault_of_its_name(make_server_ctx, path):
    with serving(make_server_ctx(verify=ssl.CERT_REQUIRED)) as port:
        ran_here(port, "--name", A, "--least-share", "0.9", "--metrics", path)
    found = samples(path.read_text())
    assert found["faults", A, "TLS 1.2"] == found["faults", A, "TLS 1.3"] == 1
    assert not any(key[0] == "resumed_ratio" for key in found)
