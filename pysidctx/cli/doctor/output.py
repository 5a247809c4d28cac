"""Print what `doctor` has found, as text or JSON."""

import json
from collections.abc import Callable

from pysidctx.cli.check.report import printable
from pysidctx.cli.check.verdicts import FAULT, NOTE
from pysidctx.cli.doctor.findings import PORT, SECTIONS, Diagnosis, Finding

HEADINGS = {"process": "The process that listens", "environment": "The environment", "secret": "The secret",
            "gunicorn": "gunicorn's configuration", "port": "The port"}
INDENT = 7  # columns, of what is below a grade


def show(diagnosis: Diagnosis, as_json: bool) -> None:
    if as_json:
        print(json.dumps(diagnosis.as_json(), indent=1))
        return
    show_line = printer()
    for section in SECTIONS:
        found = [finding for finding in diagnosis.findings if finding.section == section]
        if found:
            show_line("", "", HEADINGS[section])
        for finding in found:
            show_finding(finding, show_line)
    faulty = {finding.section for finding in diagnosis.findings if finding.grade == FAULT}
    first = ""
    if PORT in faulty and len(faulty) > 1:
        first = "; begin with the faults above those of the port, which they may explain"
    show_line("", "", f"faults: {diagnosis.count(FAULT)}, notes: {diagnosis.count(NOTE)}{first}")


def show_finding(finding: Finding, show_line: Callable[[str, str, str], None]) -> None:
    show_line(f"{finding.grade:<{INDENT}}", finding.grade, finding.seen)
    for heading, text in (("why: ", finding.why), ("do: ", finding.do)):
        if text:
            show_line(" " * INDENT + heading, "", text)


def printer() -> Callable[[str, str, str], None]:
    """Return what prints a line: its head, the grade in whose style that is, and its text."""
    try:
        from rich.text import Text

        from pysidctx.cli.check.report_text import STYLES, hang
        from pysidctx.cli.screen import Screen
    except ModuleNotFoundError:  # then lines are not wrapped
        return lambda head, grade, text: print(head + printable(text))
    console = Screen(highlight=False)
    return lambda head, grade, text: hang(
        console, Text(head, style=STYLES.get(grade, "dim" if head else "")),
        Text(printable(text), style="" if head else "bold"))
