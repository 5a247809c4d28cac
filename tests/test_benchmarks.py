"""`python -m benchmarks`: it runs, and its results have the shape that it says. No times."""

import json
import ssl
import subprocess
import sys

import pyperf
import pytest
from benchmarks import callgrind
from benchmarks.__main__ import report
from benchmarks.report import Part, table
from machine import ROOT, program


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


def run_quickly(part, results):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", part, "--quick", "--results", results], cwd=ROOT,
        capture_output=True, text=True, timeout=280,
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
                 "cimport", "100 in turn", "at most 1.25", "at most 1.1", "cores"):
        assert text in measured.stdout, text


def test_the_file_is_pyperf_s(measured, results):
    path = results / "call.json"
    assert json.loads(path.read_text())
    suite = pyperf.BenchmarkSuite.load(str(path))
    assert len(suite.get_benchmark_names()) == 15
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


def test_the_tables_of_handshakes_have_all_sides(results):
    program("valgrind", "valgrind")
    measured = run_quickly("handshake", results)
    assert measured.returncode == 0, measured.stderr
    for text in ("TLS 1.2, ECDSA P-256, resumed", "TLS 1.3, ECDSA P-256, full", "OpenSSL without Python",
                 "set_session_id_context() each", "HostMap of 1,000", "sni_callback", "TicketKeys",
                 "resumable()", "at most 1.02", "from the cache", "callgrind", "at most 0.7", "OpenSSL's own keys",
                 "Python's with them", "at most 1.01", "cores"):
        assert text in measured.stdout, text
    found = json.loads((results / "handshake.json").read_text())
    assert len(found["rounds"]) == 4 and len(found["payoff"]) == 2
    for rounds in found["rounds"].values():
        assert [len(sides) for sides in rounds] == [7]
    assert [counted["side"] for counted in found["instructions"]] == ["1000", "ssl", "TicketKeys"]
    for counted in found["instructions"]:
        assert (counted["found"]["callbacks"] > 0) == counted["side"].isdecimal()
        assert counted["found"]["handshake"] > 10 * counted["found"]["callbacks"]
    (counts,) = found["instructions with Python"].values()
    assert len(counts) == 12
    instructions = {(side, resumed): number for side, resumed, number in counts}
    for side, _ in instructions:
        assert 0 < instructions[side, True] < instructions[side, False]


def test_the_tables_of_connections_have_all_sides(results):
    program("nginx", "nginx-light")
    measured = run_quickly("connections", results)
    assert measured.returncode == 0, measured.stderr
    for text in ("uvloop, 2, TLS 1.2", "uvloop, 2, TLS 1.3", "gunicorn, 2, TLS 1.2, ECDSA P-256, client", "plain / pysidctx / nginx", "p99, ms",
                 "clients' share of CPU", "at least 0.75", "HostMap of a million", "at least 0.99", "the noise"):
        assert text in measured.stdout, text
    found = json.loads((results / "connections.json").read_text())
    assert len(found["servers"]) == 6 and len(found["cost"]) == 4
    for case in found["servers"]:
        for sides in case["rounds"]:
            assert sides.keys() == {"plain", "pysidctx"} | ({"nginx"} if case["kind"] == "RSA-2048" else set())
            ours = sides["pysidctx"]
            assert ours["resumed"] == ours["offered"] == (16 if case["returning"] == 100 else 0)
            assert all(0 < turn["generator"] < 1 and len(turn["latencies"]) == 16 for turn in sides.values())
    report = (results / "connections.md").read_text()
    assert "![connections](connections.svg)" in report
    assert (results / "connections.svg").read_text().startswith("<?xml")


def test_the_table_of_peers_names_all(results):
    measured = run_quickly("peers", results)
    assert measured.returncode == 0, measured.stderr
    for text in ("pyOpenSSL", "M2Crypto", "ctypes", "cffi", "at least 20"):
        assert text in measured.stdout, text


def test_the_report_is_markdown(measured, results):
    """It names the machine; a table has as many cells in each row."""
    made = report("a machine", [Part("part", "About it.", [table("Title", "one", "two | three")],
                                     ("picture.svg",), ("A note.",))], True)
    assert made.startswith("# Benchmarks\n\na machine. One short round")
    for text in ("## part", "About it.", "### Title", "| one | two / three |", "| --- | --- |",
                 "![part](picture.svg)", "A note."):
        assert text in made
    text = (results / "call.md").read_text()
    assert f"CPython {sys.version.split()[0]}, {ssl.OPENSSL_VERSION}" in text
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert tables and all(len({line.count("|") for line in lines}) == 1 for lines in tables)


def test_what_callgrind_says_is_read_right():
    said = ("1,234,567 (50.00%)  ???:0x0001 [/lib/x.so]\n"
            "  900,000 (40.00%)  /a/b.c:__pyx_f_8pysidctx_8listener_on_client_hello [/a/listener.so]\n"
            "  800,000 (30.00%)  build/h.c:server_step [/a/handshake.so]\n"
            "   10,000 ( 1.00%)  build/other.c:server_step [/a/handshake.so]\n")
    assert callgrind.inclusive(said, callgrind.CALLBACKS[0]) == 900_000
    assert callgrind.inclusive(said, callgrind.SERVER) == 800_000
    with pytest.raises(AssertionError, match="has not seen"):
        callgrind.inclusive(said, callgrind.CALLBACKS[1])


def test_help_names_the_parts():
    ran = subprocess.run([sys.executable, "-m", "benchmarks", "--help"], cwd=ROOT,
                         capture_output=True, text=True)
    assert ran.returncode == 0
    assert "{call,connections,handshake,hostmap,peers,session}" in ran.stdout
