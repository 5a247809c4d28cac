"""Run `pysidctx doctor`, and read what it found."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from machine import ROOT, module


class Diagnosed:
    """What `doctor --json` said."""

    def __init__(self, said: str, code: int) -> None:
        self.said: dict[str, Any] = json.loads(said)
        self.code = code
        validate(self.said)
        self.findings: list[dict[str, str]] = self.said["findings"]

    def grades(self, section: str, check: str) -> list[str]:
        return [finding["grade"] for finding in self.found(section, check)]

    def found(self, section: str, check: str) -> list[dict[str, str]]:
        return [finding for finding in self.findings if (finding["section"], finding["check"]) == (section, check)]

    def graded(self, *grades: str) -> list[dict[str, str]]:
        return [finding for finding in self.findings if finding["grade"] in grades]

    def one(self, grade: str) -> dict[str, str]:
        """The only finding with this grade."""
        (finding,) = self.graded(grade)
        return finding


@cache
def validator(schema: str) -> Any:
    """What tells whether something holds to a schema of the documentation."""
    of_draft = module("jsonschema", "jsonschema").Draft202012Validator
    made = json.loads((ROOT / "docs" / schema).read_text())
    of_draft.check_schema(made)
    return of_draft(made)


def validate(said: dict[str, Any]) -> None:
    validator("doctor-report.schema.json").validate(said)
    if said["port"] is not None:
        validator("check-report.schema.json").validate(said["port"])


def follow(advice: str) -> None:
    """Put the line that a finding tells into the file that it names."""
    found = re.search(
        r"(?:at the top of|write) (.+?)(?: with this line)?, and restart gunicorn: (.*?)(?:; or |$)", advice)
    assert found is not None, advice
    path, line = Path(found.group(1)), found.group(2)
    path.write_text(f"{line}\n{path.read_text() if path.exists() else ''}")
