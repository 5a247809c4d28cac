"""The report of an audit as one page for a browser, without scripts and without requests to other hosts.

The page is built as a tree of elements, so that text from a server remains text.
"""

import time
from typing import Optional
from xml.etree.ElementTree import Element, SubElement, tostring

from pysidctx import __version__
from pysidctx.cli.check.report import Report, Statement, printable, statements
from pysidctx.cli.check.summary import summary
from pysidctx.cli.check.verdicts import FAULT, INFO, NOTE, OK

HEADINGS = {FAULT: "Faults", NOTE: "Notes", OK: "As it should be", INFO: "Not offered, or not in use"}
WAYS = {"TLS 1.2, ticket": "TLS 1.2, tickets", "TLS 1.2, session id": "TLS 1.2, session ids", "TLS 1.3": "TLS 1.3"}

# Nothing is fetched and nothing is run, whatever else a page may hold by mistake.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

STYLE = """
:root { color-scheme: light dark; --text: #1c1e21; --faint: #5a6068; --page: #ffffff; --card: #f5f6f8; --line: #d7dae0;
  --fault: #b3261e; --note: #855600; --ok: #1a6b3a; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e8eb; --faint: #a2a9b3; --page: #16181c; --card: #1f2227;
  --line: #3a3f47; --fault: #ff8f86; --note: #f0c05a; --ok: #79d49a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 1rem/1.5 system-ui, sans-serif;
  overflow-wrap: anywhere; }
main { max-width: 52rem; margin: 0 auto; padding: 1.5rem 1rem 2rem; }
h1 { margin: 0; font-size: 1.5rem; line-height: 1.25; }
h2 { margin: 2rem 0 .5rem; font-size: 1.1rem; }
h3 { margin: 0; font-size: 1rem; font-weight: 600; }
p { margin: .25rem 0; }
.summary { margin: 1rem 0; padding: .75rem 1rem; border-left: .35rem solid var(--grade); background: var(--card);
  font-size: 1.1rem; }
.fault { --grade: var(--fault); } .note { --grade: var(--note); } .ok { --grade: var(--ok); }
.info { --grade: var(--faint); }
.where, footer, dt, th { color: var(--faint); }
.where { font-size: .9rem; }
dl { margin: .5rem 0 0; display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .15rem .75rem; }
dd { margin: 0; }
ul { margin: 0; padding: 0; list-style: none; }
li { padding: .6rem 0 .6rem .85rem; border-left: .2rem solid var(--grade); margin-bottom: .6rem; }
.ok li, .info li { padding-block: .15rem; margin-bottom: .25rem; }
.ok h3, .info h3 { font-weight: 400; }
h2 b { color: var(--grade); font-weight: 600; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .5rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top;
  font-weight: 400; }
th:first-child { padding-left: 0; text-align: left; }
tbody th { color: inherit; }
thead th { overflow-wrap: normal; } td { white-space: nowrap; }
footer { margin-top: 2rem; font-size: .85rem; }
@media print { :root { color-scheme: light; --text: #000; --faint: #444; --page: #fff; --card: #fff; --line: #999;
  --fault: #a00; --note: #640; --ok: #040; } body { font-size: 10pt; } main { max-width: none; padding: 0; }
  li, tr, .summary { break-inside: avoid; } h2 { break-after: avoid; } }
"""


def add(parent: Element, tag: str, text: str = "", **attributes: str) -> Element:
    made = SubElement(parent, tag, {name.rstrip("_"): value for name, value in attributes.items()})
    made.text = printable(text)
    return made


def page(title: str) -> tuple[Element, Element]:
    """Return a new page, and its main element."""
    html = Element("html", lang="en")
    head = add(html, "head")
    add(head, "meta", charset="utf-8")
    SubElement(head, "meta", {"http-equiv": "Content-Security-Policy", "content": POLICY})
    add(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    add(head, "meta", name="referrer", content="no-referrer")
    add(head, "title", title)
    SubElement(head, "style").text = STYLE
    return html, add(add(html, "body"), "main")


def finished(html: Element, main: Element) -> bytes:
    footer = add(main, "footer", f"pysidctx check {__version__}, ")
    now = time.time()
    add(footer, "time", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now)),
        datetime=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)))
    made: bytes = tostring(html, encoding="utf-8", method="html")
    return b"<!DOCTYPE html>\n" + made + b"\n"


def of_failure(target: str, failure: str) -> bytes:
    html, main = page(f"{target}: no audit")
    add(main, "p", "TLS session resumption of", class_="where")
    add(main, "h1", target)
    add(main, "p", f"There is no report: {failure}", class_=f"summary {FAULT}")
    return finished(html, main)


def of_report(report: Report, target: str) -> bytes:
    said = statements(report)
    worst = min((OK, *(each.grade for each in said)), key=[*HEADINGS].index)
    html, main = page(f"{report.target}: {summary(report)}")
    add_head(add(main, "header"), report, worst)
    add_counts(main, report)
    for grade, heading in HEADINGS.items():
        add_statements(main, grade, heading, [each for each in said if each.grade == grade])
    return finished(html, main)


def add_head(header: Element, report: Report, worst: str) -> None:
    add(header, "p", "TLS session resumption of", class_="where")
    add(header, "h1", str(report.target))
    add(header, "p", summary(report), class_=f"summary {worst}")
    facts = {"Address": report.target.address, "Names": ", ".join(report.options.names) or "none was asked for",
             "Connections": f"{report.evidence.connections} in {report.evidence.seconds:.1f} s"}
    if report.evidence.unfinished:
        facts["Ended early"] = f"after {report.evidence.unfinished}"
    add_list(header, facts)


def add_list(parent: Element, facts: dict[str, str]) -> None:
    made = add(parent, "dl")
    for term, text in facts.items():
        add(made, "dt", term)
        add(made, "dd", text)


def add_counts(main: Element, report: Report) -> None:
    """Add the table of returning connections that were resumed, by name."""
    counts: dict[Optional[str], dict[str, str]] = {name: {} for name in report.options.names or (None,)}
    for finding in report.findings:
        if finding.check == "resumption" and finding.where is not None and finding.tried is not None:
            text = f"{finding.resumed} of {finding.tried}" if finding.tried else "not known"
            counts.setdefault(finding.name, {})[str(finding.where)] = text
    ways = [way for way in WAYS if any(way in found for found in counts.values())]
    if not ways:
        return
    section = add(main, "section")
    add(section, "h2", "Returning connections that were resumed")
    table = add(section, "table")
    row = add(add(table, "thead"), "tr")
    for heading in ("Name", *(WAYS[way] for way in ways)):
        add(row, "th", heading, scope="col")
    body = add(table, "tbody")
    for name, found in counts.items():
        row = add(body, "tr")
        add(row, "th", name or "without a name", scope="row")
        for way in ways:
            add(row, "td", found.get(way, "\N{EN DASH}"))


def add_statements(main: Element, grade: str, heading: str, said: list[Statement]) -> None:
    if not said:
        return
    section = add(main, "section", class_=grade)
    add(add(section, "h2"), "b", f"{heading}: {len(said)}")
    listed = add(section, "ul")
    for each in said:
        item = add(listed, "li")
        add(item, "h3", each.seen)
        if each.where:
            add(item, "p", each.where, class_="where")
        if each.why:
            add_list(item, {"Why": each.why, "Do": each.do})
