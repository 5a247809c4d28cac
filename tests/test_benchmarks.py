"""`python -m benchmarks`: it runs, and its results have the shape that it says. No times."""

import json
import subprocess
import sys

import pyperf
import pytest
from machine import ROOT


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


def run_quickly(part, results):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", part, "--quick", "--results", results], cwd=ROOT,
        capture_output=True, text=True, timeout=110,
    )


@pytest.fixture(scope="module")
def measured(results):
    return run_quickly("call", results)


@pytest.fixture(scope="module")
def measured_hosts(results):
    return run_quickly("hostmap", results)


@pytest.fixture(scope="module")
def measured_sessions(results):
    return run_quickly("session", results)


def test_a_table_names_every_ratio(measured):
    assert measured.returncode == 0, measured.stderr
    for text in ("empty Cython function", "set_session_id_context(SSLSocket)", "pysidctx.h",
                 "cimport", "pyOpenSSL", "ctypes", "cffi", "at most 1.25", "at least 20", "cores"):
        assert text in measured.stdout, text


def test_the_file_is_pyperf_s(measured, results):
    path = results / "call.json"
    assert json.loads(path.read_text())
    suite = pyperf.BenchmarkSuite.load(str(path))
    assert len(suite.get_benchmark_names()) == 18
    assert all(suite.get_benchmark(name).median() > 0 for name in suite.get_benchmark_names())


def test_the_tables_of_a_host_map_have_all_sides(measured_hosts):
    assert measured_hosts.returncode == 0, measured_hosts.stderr
    for text in ("plain ssl", "HostMap of 10: id contexts", "HostMap of 20,000: contexts",
                 "sni_callback: look-up in a dict", "SSL_set_SSL_CTX() alone", "TLS 1.2, resumed",
                 "callback alone", "at most 250", "at most 0.1", "at most 128", "at least 1.8"):
        assert text in measured_hosts.stdout, text


def test_the_file_has_the_figures_of_each_round(measured_hosts, results):
    found = json.loads((results / "hostmap.json").read_text())
    assert found.keys() == {"handshakes", "callback", "loading", "threads"}
    assert found["handshakes"].keys() == {"TLS 1.2", "TLS 1.3"}
    assert len(found["handshakes"]["TLS 1.2"]) == 9
    assert len(found["callback"]) == 7
    for figures in (*found["handshakes"].values(), found["callback"], *found["loading"].values()):
        assert all(len(values) == 1 for values in figures.values())
    assert found["threads"][0] > 0


def test_the_table_of_sessions_has_both_sides(measured_sessions, results):
    assert measured_sessions.returncode == 0, measured_sessions.stderr
    for text in ("i2d_SSL_SESSION()", "d2i_SSL_SESSION()", "to_der()", "from_der()", "to_pem()",
                 "with a certificate", "without one", "at most 1.3", "cores"):
        assert text in measured_sessions.stdout, text
    suite = pyperf.BenchmarkSuite.load(str(results / "session.json"))
    assert len(suite.get_benchmark_names()) == 12


def test_the_table_of_tickets_has_all_sides(results):
    measured = run_quickly("tickets", results)
    assert measured.returncode == 0, measured.stderr
    for text in ("TLS 1.2, ECDSA P-256", "TLS 1.3, RSA-2048, client", "OpenSSL's own keys",
                 "resumable()", "at most 1.02", "cores"):
        assert text in measured.stdout, text
    found = json.loads((results / "tickets.json").read_text())
    assert len(found) == 8
    assert all(len(sides) == 4 for rounds in found.values() for sides in rounds)


@pytest.mark.timeout(200)
def test_the_table_of_servers_has_both_sides(results):
    measured = run_quickly("servers", results)
    assert measured.returncode == 0, measured.stderr
    for text in ("gunicorn, sync", "TLS 1.3, RSA-2048, client", "0 / 100", "at least 1.6", "cores"):
        assert text in measured.stdout, text
    found = json.loads((results / "servers.json").read_text())
    assert len(found) == 8
    for case in found:
        assert [sides["pysidctx"]["resumed"] for sides in case["rounds"]] == [1.0]


def test_help_names_the_parts():
    ran = subprocess.run([sys.executable, "-m", "benchmarks", "--help"], cwd=ROOT,
                         capture_output=True, text=True)
    assert ran.returncode == 0
    assert "{call,hostmap,servers,session,tickets}" in ran.stdout
