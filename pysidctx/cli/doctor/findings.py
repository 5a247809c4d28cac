"""What `doctor` finds: each finding has a grade, as those of `check` have, and says what to do."""

from collections.abc import Iterable
from typing import NamedTuple, Optional

from pysidctx.cli.check.verdicts import FAULT, NOTE

PROCESS, ENVIRONMENT, SECRET, GUNICORN, PORT = SECTIONS = ("process", "environment", "secret", "gunicorn", "port")


class Finding(NamedTuple):
    """One thing that was found."""

    section: str   # one of SECTIONS
    check: str     # what was looked at, for scripts
    grade: str     # INFO, OK, NOTE or FAULT
    seen: str      # the observation
    do: str = ""   # what to do about it; empty if there is nothing to do
    why: str = ""  # why it matters, where `check` says so


class Diagnosis(NamedTuple):
    """All that was found."""

    target: Optional[str]     # the server, as it was given; None: no port was checked
    findings: list[Finding]   # in the order of SECTIONS
    port: Optional[dict[str, object]] = None  # what `check --json` prints; None: there is no report
    finished: bool = True     # whether the audit of the port was completed

    def count(self, grade: str) -> int:
        return sum(finding.grade == grade for finding in self.findings)

    def fails_on(self, grade: str) -> bool:
        return bool(self.count(FAULT)) or grade == NOTE and bool(self.count(NOTE))

    def as_json(self) -> dict[str, object]:
        return {"target": self.target, "finished": self.finished, "faults": self.count(FAULT),
                "notes": self.count(NOTE), "findings": [finding._asdict() for finding in self.findings],
                "port": self.port}


def has_fault(findings: Iterable[Finding]) -> bool:
    return any(finding.grade == FAULT for finding in findings)
