"""The report of an audit as text, for a terminal or a file."""

from rich.console import Console
from rich.text import Text

from pysidctx.cli.report import Report, statements
from pysidctx.cli.verdicts import FAULT, NOTE, OK

STYLES = {OK: "green", NOTE: "yellow", FAULT: "bold red"}


def show(console: Console, report: Report) -> None:
    console.print(report.heading, markup=False)
    for said in statements(report):
        line = Text(f"{said.grade:<5}", style=STYLES[said.grade])
        line.append(f"  {said.where}: {said.seen}" if said.where else f"  {said.seen}", style="default not bold")
        console.print(line)
        for heading, text in (("why", said.why), ("do", said.do)):
            if text:
                console.print(f"       {heading}: {text}", markup=False)
    grades = [said.grade for said in statements(report)]
    console.print(f"faults: {grades.count(FAULT)}, notes: {grades.count(NOTE)}; {report.evidence.connections} "
                  f"connections in {report.evidence.seconds:.1f} s")
