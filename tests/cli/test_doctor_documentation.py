"""docs/doctor.md: it names every option, field and check that there is, and no other."""

import argparse
import json
import re

import pytest
from machine import ROOT

from pysidctx.__main__ import COMMANDS
from pysidctx.cli.doctor import arguments
from pysidctx.cli.doctor.findings import SECTIONS, Diagnosis, Finding

pytestmark = [pytest.mark.one_python, pytest.mark.source]

TEXT = (ROOT / "docs" / "doctor.md").read_text()
SCHEMA = json.loads((ROOT / "docs" / "doctor-report.schema.json").read_text())
ROWS = re.findall(r"^\| (`.*?|\d) \| (.*) \|$", TEXT, re.MULTILINE)


def test_options():
    parser = argparse.ArgumentParser(add_help=False)
    arguments.add_arguments(parser)
    options = {option for action in parser._actions for option in action.option_strings}
    told = set(re.findall(r"`(--[a-z-]+)", TEXT.partition("## Options")[2]))
    assert told == options


def test_exit_codes():
    assert [cell for cell, _ in ROWS if cell.isdigit()] == re.findall(r"(\d): ", COMMANDS["doctor"].ends)


def test_fields():
    told = [name for cells, _ in ROWS for name in re.findall(r"`([a-z]+)`", cells)]
    for name in (*SCHEMA["properties"], *SCHEMA["$defs"]["finding"]["properties"], *SECTIONS):
        assert name in told
    assert set(SCHEMA["properties"]) == set(Diagnosis(None, []).as_json())
    assert set(SCHEMA["$defs"]["finding"]["properties"]) == set(Finding._fields)
    assert SCHEMA["$defs"]["finding"]["properties"]["section"]["enum"] == [*SECTIONS]


def test_checks():
    (told,) = [text for cells, text in ROWS if cells == "`check`"]
    code = "".join(path.read_text() for path in (ROOT / "pysidctx" / "cli" / "doctor").glob("*.py"))
    made = set(re.findall(r'Finding\([A-Z]+, "([a-z-]+)"', code))
    assert made == set(re.findall(r"`([a-z-]+)`", told)) - {"check"}
    assert made == set(SCHEMA["$defs"]["finding"]["properties"]["check"]["examples"])
