"""The report of an audit as text: wrapped to the width of a terminal, or with one line for each statement."""

from rich.console import Console
from rich.text import Text

from pysidctx.cli.check.report import Report, statements
from pysidctx.cli.check.summary import summary
from pysidctx.cli.check.verdicts import FAULT, INFO, NOTE, OK

STYLES = {INFO: "dim", OK: "green", NOTE: "yellow", FAULT: "bold red"}
INDENT = 7  # columns, of what is below a grade
LEAST_WIDTH = 40  # for which lines are broken


def show(console: Console, report: Report, *, advice: bool = True) -> None:
    """Print the report; with `advice`, also why each finding matters and what to do about it."""
    hang(console, Text(), Text(report.heading))
    said = statements(report)
    for each in said:
        hang(console, Text(f"{each.grade:<{INDENT}}", style=STYLES[each.grade]),
             Text(f"{each.where}: {each.seen}" if each.where else each.seen))
        for heading, text in (("why: ", each.why), ("do: ", each.do)):
            if text and advice:
                hang(console, Text(" " * INDENT + heading, style="dim"), Text(text))
    grades = [each.grade for each in said]
    hang(console, Text(), Text(
        f"faults: {grades.count(FAULT)}, notes: {grades.count(NOTE)}; {report.evidence.connections} connections in "
        f"{report.evidence.seconds:.1f} s"))
    worst = next(grade for grade in (FAULT, NOTE, OK) if grade in (*grades, OK))
    hang(console, Text(), Text(summary(report), style=STYLES[worst] if console.is_terminal else ""))


def hang(console: Console, head: Text, body: Text) -> None:
    """Print text in lines that break between words, and indent the lines after the first one."""
    width = max(console.width, LEAST_WIDTH) - head.cell_len
    lines = body.wrap(console, width) if console.is_terminal else [body]
    for number, line in enumerate(lines):
        line.rstrip()
        start = head if number == 0 else " " * head.cell_len
        console.print(Text().append(start).append(line), soft_wrap=True)
