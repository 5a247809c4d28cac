"""The report of an audit: the data for all output formats, with similar findings grouped for people."""

from typing import NamedTuple, Optional

from pysidctx.cli.check.audit import Evidence, Options
from pysidctx.cli.check.connection import Target
from pysidctx.cli.check.verdicts import FAULT, NOTE, Finding

# The checks whose findings name what they are about.
TELL_NAMES = "certificate", "client-certificate", "handshake"


class Report(NamedTuple):
    """The results of an audit, complete or not."""

    target: Target
    options: Options
    evidence: Evidence
    findings: list[Finding]

    def count(self, grade: str) -> int:
        return sum(finding.grade == grade for finding in self.findings)

    def fails_on(self, grade: str) -> bool:
        """Whether there is a fault or, if `grade` is NOTE, a note about the server."""
        return bool(self.count(FAULT)) or grade == NOTE and any(
            finding.grade == NOTE and finding.check not in ("limit", "client") for finding in self.findings)

    @property
    def heading(self) -> str:
        address = f" at {self.target.address}" if self.target.host != self.target.address else ""
        names = f", names {', '.join(self.options.names)}" if self.options.names else ", without a name"
        return f"{self.target}{address}{names}"

    def as_json(self) -> dict[str, object]:
        return {"target": str(self.target), "address": self.target.address, "names": self.options.names,
                "connections": self.evidence.connections, "seconds": round(self.evidence.seconds, 3),
                "finished": not self.evidence.unfinished, "faults": self.count(FAULT), "notes": self.count(NOTE),
                "findings": [finding.as_json() for finding in self.findings]}


class Statement(NamedTuple):
    """One text for the findings of several names, versions and ways."""

    check: str
    grade: str
    where: str
    seen: str
    why: str
    do: str


def printable(text: str) -> str:
    """Remove control characters, with which a server could control the terminal."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def statements(report: Report) -> list[Statement]:
    """Group the findings that say the same."""
    alike: dict[Statement, dict[str, list[Finding]]] = {}
    for finding in report.findings:
        text = Statement(finding.check, finding.grade, "", *map(printable, (finding.seen, finding.why, finding.do)))
        alike.setdefault(text, {}).setdefault(str(finding.where or ""), []).append(finding)
    made = []
    for text, places in alike.items():
        told: dict[str, list[str]] = {}  # the places of which it is said in the same words
        for place, findings in places.items():
            told.setdefault(with_names(findings, report.options.names), []).append(place)
        made += [text._replace(where="; ".join(filter(None, where)), seen=seen) for seen, where in told.items()]
    return made


def with_names(findings: list[Finding], names: tuple[str, ...]) -> str:
    """Add the names that a text is about, unless it is about all of them."""
    seen = printable(findings[0].seen)
    told: list[Optional[str]] = [finding.name for finding in findings]
    if findings[0].made_for is not None:
        pairs = ", ".join(dict.fromkeys(f"{finding.made_for} > {finding.name}" for finding in findings))
        return seen if seen.startswith("a session made for ") else f"{seen}: {pairs}"
    if None in told or set(told) == {*names} or findings[0].check in TELL_NAMES:
        return seen
    return f"{', '.join(filter(None, told))}: {seen}"
