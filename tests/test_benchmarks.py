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


@pytest.fixture(scope="module")
def measured(results):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "call", "--quick", "--results", results], cwd=ROOT,
        capture_output=True, text=True, timeout=110,
    )


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


def test_help_names_the_parts():
    ran = subprocess.run([sys.executable, "-m", "benchmarks", "--help"], cwd=ROOT,
                         capture_output=True, text=True)
    assert ran.returncode == 0
    assert "{call}" in ran.stdout
