"""`.ci/matrix` and `.ci/try`: the rows, what is read from what they print, and the table. No row runs."""

import importlib.machinery
import importlib.util
import json
import re
import subprocess
import sys

import pytest
from machine import ROOT

pytestmark = pytest.mark.source

RESULTS = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest">
  <testcase classname="tests.a" name="test_fine" time="0.1" />
  <testcase classname="tests.a" name="test_wrong"><failure message="assert 0">trace</failure></testcase>
  <testcase classname="tests.b" name="test_broken"><error message="fixture">trace</error></testcase>
  <testcase classname="tests.b" name="test_one"><skipped message="there is a GIL" /></testcase>
  <testcase classname="tests.b" name="test_two"><skipped message="there is a GIL" /></testcase>
</testsuite></testsuites>
"""
INFO = """pysidctx: 0.1.0
libssl is in: /lib/libssl.so.3
libssl was found by: dlsym: the file that holds the code of ssl exports it
one libssl: proved: libcrypto saw ssl make a context
this libssl has:
  SSL_CTX_set_client_hello_cb: yes
"""
REPORT = {"interpreter": "CPython 3.13.0, x86_64", "openssl": "3.0.19", "build": "wheel", "install": 0.6,
          "import": 24.2, "found": {"libssl was found by": "dlsym: exported"}, "demo": "ran", "missing": [],
          "passed": 3, "failed": 0, "skipped": 2, "failures": [], "reasons": {"there is a GIL": 2}}


def script(name, monkeypatch):
    loader = importlib.machinery.SourceFileLoader(name, str(ROOT / ".ci" / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    monkeypatch.setitem(sys.modules, name, module)  # where dataclasses look
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader.exec_module(module)
    return module


@pytest.fixture
def matrix(monkeypatch, tmp_path):
    module = script("matrix", monkeypatch)
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    return module


@pytest.fixture
def trial(monkeypatch):
    return script("try", monkeypatch)


def run(*arguments):
    return subprocess.run([sys.executable, ROOT / ".ci" / "matrix", *arguments], capture_output=True, text=True)


def test_the_rows_are_listed(matrix):
    ran = run("--list")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [line.split()[0] for line in ran.stdout.splitlines()] == [row.name for row in matrix.rows()]
    assert run("--list", "bullseye").stdout.startswith("bullseye ")


def test_an_unknown_row():
    ran = run("3.8")
    assert (ran.returncode, ran.stderr) == (1, "there is no row 3.8: --list names them\n")


def test_what_is_named_was_tried(matrix):
    """By the classifiers: the CPythons of the table in the documentation, which has rows that there are."""
    classified = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text())
    table = dict(re.findall(r"^\| (\S+) \| CPython (3\.\d+)", (ROOT / "docs/install.md").read_text(), re.MULTILINE))
    assert set(classified) == set(table.values())
    assert table.keys() <= {row.name for row in matrix.rows()}


def test_results_are_counted(trial, tmp_path):
    (tmp_path / "results.xml").write_text(RESULTS)
    report = {}
    trial.count(report, tmp_path / "results.xml")
    assert report == {"passed": 1, "failed": 2, "failures": ["tests.a::test_wrong", "tests.b::test_broken"],
                      "skipped": 2, "reasons": {"there is a GIL": 2}}


def test_no_results_are_a_failure(trial, tmp_path):
    report = {}
    trial.count(report, tmp_path / "results.xml")
    assert report["failed"] == 1


def test_what_info_says_is_read(trial):
    assert list(trial.found(INFO)) == ["libssl is in", "libssl was found by", "one libssl"]


def test_what_the_tests_need_is_read_from_the_package(trial):
    declared = ["cffi; extra == \"bench\"", "pysidctx[bench,lint]; extra == \"test\"", "pytest>=8; extra == \"test\"",
                "truststore; python_version >= \"3.10\" and extra == \"test\""]
    assert trial.requirements(declared) == ["cffi", "pytest>=8", "truststore; python_version >= \"3.10\""]


@pytest.fixture
def attempt(matrix):
    """Runs a row whose command prints a report or something else; returns the summary, and whether there is trouble."""

    def attempt(printed, code=0, **options):
        def command():
            code_to_run = f"import sys; print(sys.argv[1]); sys.exit({code})"
            return [sys.executable, "-c", code_to_run, printed]

        row = matrix.Row("row", "a row", command, **options)
        matrix.attempt(row, [])
        return matrix.summarize({"row": matrix.last(row)}), "trouble" in matrix.last(row)

    return attempt


def test_a_row_that_passes(attempt):
    summary, trouble = attempt(f"noise\nreport: {json.dumps(REPORT)}\n")
    assert not trouble
    assert "| row | CPython 3.13.0, x86_64 | 3.0.19 | wheel | dlsym | 3 | 0 | 2 | 24.2 ms | 0.6 s | ran |" in summary
    assert "- row: 2 skipped: there is a GIL" in summary


@pytest.mark.parametrize("changed, code, said", [
    ({"failed": 1, "failures": ["tests.a::test_wrong"]}, 1, "failed tests.a::test_wrong"),
    ({"demo": "failed: no module"}, 0, "failed: no module"),
    ({"refused": "it cannot be"}, 0, "import pysidctx was refused: it cannot be"),
    ({}, 2, "it ended with 2"),
])
def test_a_row_that_fails(attempt, changed, code, said):
    summary, trouble = attempt(f"report: {json.dumps({**REPORT, **changed})}", code)
    assert trouble and said in summary


def test_another_package_s_fault_is_named_and_no_trouble(attempt, matrix):
    ((failure, (where, why)),) = matrix.FAULTS.items()
    changed = {**REPORT, "interpreter": f"{where}.2, x86_64", "failed": 1, "failures": [failure]}
    summary, trouble = attempt(f"report: {json.dumps(changed)}", 1)
    assert not trouble and f"- row: failed {failure}: {why}" in summary
    changed["interpreter"] = "CPython 3.13.0, x86_64"
    assert attempt(f"report: {json.dumps(changed)}", 1)[1]


def test_a_row_that_reports_nothing(attempt):
    summary, trouble = attempt("first\npip failed\n")
    assert trouble and "- row: trouble: no report: pip failed" in summary


def test_a_row_that_is_to_be_refused(attempt):
    refused = {"interpreter": "CPython 3.13.0, x86_64", "refused": "it cannot be"}
    summary, trouble = attempt(f"report: {json.dumps(refused)}", refused=True)
    assert not trouble and "refused, as it should be: it cannot be" in summary
    assert attempt(f"report: {json.dumps(REPORT)}", refused=True)[1]


def test_a_row_that_cannot_be_had(matrix):
    def command():
        raise matrix.NotHere("CPython 3.9 is missing")

    row = matrix.Row("row", "a row", command)
    matrix.attempt(row, [])
    assert "- row: not here: CPython 3.9 is missing" in matrix.summarize({"row": matrix.last(row)})


def test_arguments_reach_the_tests(matrix):
    assert matrix.with_arguments(["python", ".ci/try", "source"], ["-k", "a b"])[-2:] == ["-k", "a b"]
    assert matrix.with_arguments([".ci/debian", "sid", "try it"], ["-k", "a b"])[-1] == "try it -k 'a b'"
