"""docs/check.md: it names every option, field, check and metric that there is, and no other; its commands run."""

import argparse
import json
import re
import subprocess

import pytest
from audited import SESSION_ID, TICKET, TLS13, crossing, ran, report, resumption, serving
from machine import ROOT, program
from peers import A, B
from prometheus_client.parser import text_string_to_metric_families

from pysidctx.__main__ import COMMANDS, main
from pysidctx.cli.check import arguments as check_arguments
from pysidctx.cli.check import report_metrics
from pysidctx.cli.check.verdicts import Finding

pytestmark = [pytest.mark.one_python, pytest.mark.source]

TEXT = (ROOT / "docs" / "check.md").read_text()
SCHEMA = json.loads((ROOT / "docs" / "check-report.schema.json").read_text())["$defs"]


def tables():
    """Return the contents of the first cells of each table, by the last line of text before the table."""
    found, before = {}, ""
    for line in TEXT.splitlines():
        if line.startswith("| `") or re.match(r"\| \d", line):
            found.setdefault(before, []).extend(re.findall(r"`([^`]+)`|\b(\d+)\b", line.split("|")[1]))
        elif line and not line.startswith("|"):
            before = line
    return {before: [code or number for code, number in cells] for before, cells in found.items()}


def table(words):
    (found,) = [cells for before, cells in tables().items() if words in before]
    return found


def options():
    parser = argparse.ArgumentParser(add_help=False)
    check_arguments.add_arguments(parser)
    return {option for action in parser._actions for option in action.option_strings}


def test_options():
    told = [*table("What to audit"), *table("Load and limits"), *table("Grading and output")]
    assert {words.split()[0] for words in told if words.startswith("--")} == options()
    assert set(re.findall(r"--[a-z][a-z-]+", TEXT)) - {"--collector"} <= options()


def test_exit_codes():
    assert {"0", "1", "2", "3"} <= set(table("Exit codes"))
    assert re.findall(r"(\d): ", COMMANDS["check"].ends) == ["0", "1", "2", "3"]


def test_help_says_what_the_page_says(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main(["check", "--help"])
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    text, page = " ".join(printed.split()), " ".join(TEXT.replace("`", "").split())
    for words in ("fault", "note", "info", "cannot see", "the report counts N - 1", "the system's",
                  "cannot be measured", "limit and client", *table("Exit codes")):
        assert words in text and words in page


def test_fields():
    assert table("A failed audit") == list(SCHEMA["failure"]["properties"])
    assert table("A report:") == list(SCHEMA["report"]["properties"])
    assert sorted(table("Fields that do not apply")) == sorted(SCHEMA["finding"]["properties"])


def test_checks():
    (row,) = re.findall(r"^\| `check` \|(.*)\|$", TEXT, re.MULTILINE)
    assert re.findall(r"`([^`]+)`", row) == SCHEMA["finding"]["properties"]["check"]["examples"]
    code = "".join(path.read_text() for path in (ROOT / "pysidctx" / "cli" / "check").glob("*.py"))
    assert set(re.findall(r'Finding\(\s*"([a-z-]+)"', code)) == set(re.findall(r"`([^`]+)`", row))


def test_metrics():
    made = report(resumption(TICKET, A, 9), resumption(SESSION_ID, A, 0), resumption(TLS13, B, 3),
                  crossing(TICKET, A, B),
                  Finding("ticket", TICKET, "ok", "tickets", name=A, bytes=192, seconds=7200))
    families = text_string_to_metric_families(report_metrics.of_report(made, "shop.test").decode())
    found = {family.name: {label for sample in family.samples for label in sample.labels} for family in families}
    rows = re.findall(r"^\| ((?:`[a-z_]+`,? ?)+) \| ((?:`[a-z]+`,? ?)*) ?\| ", TEXT.partition("All metrics")[2],
                      re.MULTILINE)
    told = {f"pysidctx_check_{name}": {"target", *re.findall(r"`(\w+)`", labels)}
            for names, labels in rows for name in re.findall(r"`(\w+)`", names)}
    assert found == told
    assert set(re.findall(r"pysidctx_check_[a-z_]*[a-z]", TEXT)) <= set(found)


def test_the_script_prints_names(make_server_ctx):
    (script,) = re.findall(r"```sh\npysidctx check shop.example --json \| (.*?)```", TEXT, re.DOTALL)
    script = script.replace("jq", program("jq", "jq"), 1)
    with serving(*(make_server_ctx() for _ in range(3))) as port:
        few = ran(port, "--name", A, "--json").stdout
    with serving(make_server_ctx()) as port:
        all_are = ran(port, "--name", A, "--json").stdout
    for said, expected in ((few, f"{A}\n"), (all_are, "")):
        done = subprocess.run(script, shell=True, input=said, capture_output=True, text=True, check=True)
        assert done.stdout == expected
