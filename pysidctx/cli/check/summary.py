"""One line that says what an audit found: its worst fault, or how the server resumes."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Optional

from pysidctx.cli.check.audit import Evidence, Way
from pysidctx.cli.check.report import Report, printable, statements
from pysidctx.cli.check.verdicts import FAULT, NOTE, OK, Finding

# Faults by what they are about, the worst first.
WORST = ("client-certificate", "names", "resumption")


class Counts(NamedTuple):
    """How many connections of returning clients were resumed, in one way of resumption, over some names."""

    fewest: int
    most: int
    tried: int
    names: frozenset[Optional[str]]

    def __str__(self) -> str:
        resumed = str(self.most) if self.fewest == self.most else f"{self.fewest} to {self.most}"
        return f"{resumed} of {self.tried}"


def summary(report: Report) -> str:
    return printable(in_one_line(report))


def in_one_line(report: Report) -> str:
    faults = [said for said in statements(report) if said.grade == FAULT]
    early = f"ended early, after {report.evidence.unfinished}: " if report.evidence.unfinished else ""
    if faults:
        worst = min(faults, key=lambda said: WORST.index(said.check) if said.check in WORST else len(WORST))
        more = {1: "", 2: "; and 1 more fault"}.get(len(faults), f"; and {len(faults) - 1} more faults")
        return f"{early}fault: {worst.seen}{f' ({worst.where})' if worst.where else ''}{more}"
    return early + "; ".join(
        [*resumption(report), *crossing(report), *demands(report.evidence), *refusals(report), *trust(report)])


def resumption(report: Report) -> Iterator[str]:
    names = {name for name in report.options.names or (None,)}
    groups: dict[Counts, list[Way]] = {}
    for way, found in sorted(by_way(report.findings).items(), key=lambda item: item[0].version):
        for tried in sorted({each.tried or 0 for each in found}, reverse=True):
            resumed = [each.resumed or 0 for each in found if each.tried == tried]
            on_names = frozenset(each.name for each in found if each.tried == tried)
            groups.setdefault(Counts(min(resumed), max(resumed), tried, on_names), []).append(way)
    said = [f"{counts} ({name_ways(ways)}){on(counts.names, names)}" for counts, ways in groups.items()]
    if said:
        yield f"resumes {', '.join(said)}"
    for each in not_tried(report.findings):
        yield each
    if not said and not any(finding.check == "resumption" for finding in report.findings):
        yield "no resumption was tried"


def by_way(findings: list[Finding]) -> dict[Way, list[Finding]]:
    """Group the findings about returning clients by way of resumption.

    If a server offers tickets, hardly a client uses session ids: they are counted only if all were resumed.
    """
    found: dict[Way, list[Finding]] = {}
    for finding in findings:
        if finding.check == "resumption" and finding.where and finding.tried:
            found.setdefault(finding.where, []).append(finding)
    with_tickets = {(way.version, each.name) for way, of_way in found.items() if way.tickets for each in of_way}
    for way in list(found):
        if way.tickets is False:
            found[way] = [each for each in found[way]
                          if each.resumed == each.tried or (way.version, each.name) not in with_tickets]
    return {way: of_way for way, of_way in found.items() if of_way}


def not_tried(findings: list[Finding]) -> Iterator[str]:
    """Say why the audit could not try a way of resumption, unless that is as it should be."""
    found: dict[str, list[Way]] = {}
    for finding in findings:
        if finding.check == "resumption" and not finding.tried and finding.grade in (NOTE, FAULT) and finding.where:
            found.setdefault(finding.seen, []).append(finding.where)
    for seen, ways in found.items():
        yield f"{seen} ({name_ways(ways)})"


def name_ways(ways: list[Way]) -> str:
    """Name ways of resumption, as in "TLS 1.2 tickets and session ids, TLS 1.3"."""
    kinds: dict[str, list[str]] = {}
    for way in ways:
        of_version = kinds.setdefault(way.version, [])
        if way.kind and way.version != "TLS 1.3" and f"{way.kind}s" not in of_version:
            of_version.append(f"{way.kind}s")
    return ", ".join(f"{version} {' and '.join(found)}".rstrip() for version, found in kinds.items())


def on(some: frozenset[Optional[str]], names: set[Optional[str]]) -> str:
    """Say which names a statement is about, unless it is about all of them."""
    if some == names:
        return ""
    return f" on {listed(name for name in some if name)}"


def listed(names: Iterable[str]) -> str:
    """List names, or count them if there are many."""
    told = sorted(names)
    return ", ".join(told) if len(told) <= 3 else f"{len(told)} names"


def crossing(report: Report) -> Iterator[str]:
    """Say whether sessions that are resumed under their own name are resumed under another one.

    Session ids of a server that relies on tickets are not resumed under their own name, so nothing is said of them.
    """
    resuming = {(way, finding.name) for way, found in by_way(report.findings).items() for finding in found}
    offered: dict[tuple[Optional[str], Optional[str]], list[Finding]] = {}
    for finding in report.findings:
        if finding.made_for is not None and (finding.resumed or (finding.where, finding.made_for) in resuming):
            offered.setdefault((finding.made_for, finding.name), []).append(finding)
    names = report.options.names
    pairs = len(names) * (len(names) - 1)
    if len(names) < 2:
        yield "one name, so no crossing was looked for" if names else "no name, so no crossing was looked for"
        return
    if not offered:
        return
    crossed = sum(any(each.resumed for each in found) for found in offered.values())
    apart = sum(all(each.grade == OK and not each.resumed for each in found) for found in offered.values())
    if apart == pairs and not report.evidence.unfinished:
        yield f"never crosses {len(names)} names"
        return
    if crossed:
        yield f"crosses {crossed} of {pairs} pairs of names"
    if apart:
        yield f"never crosses {apart} of {pairs} pairs of names"
    if crossed + apart < pairs:
        yield f"crossing is not known for {pairs - crossed - apart} of {pairs} pairs of names"


def demands(evidence: Evidence) -> Iterator[str]:
    """Say which names request a client's certificate in a full handshake, and in which versions."""
    asked: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    hosts = {version: [host for host in found if not host.lacks_version] for version, found in evidence.hosts.items()}
    names = dict.fromkeys(str(host.name) for found in hosts.values() for host in found)
    for name in names:
        by_word: dict[str, list[str]] = {}
        for version, found in hosts.items():
            for host in found:
                if str(host.name) == name:
                    word = "demanded" if host.demands else "asked for" if host.seen.asked else "not asked for"
                    by_word.setdefault(word, []).append(version)
        for word, versions in by_word.items():
            if word != "not asked for":
                asked.setdefault((word, tuple(versions) if len(by_word) > 1 else ()), []).append(name)
    for (word, where), told in asked.items():
        by = "" if len(told) == len(names) else f" by {listed(told)}"
        yield f"client certificates {word}{by}{' in ' + ' and '.join(where) if where else ''}"


def refusals(report: Report) -> Iterator[str]:
    refused = {finding.seen: finding.name for finding in report.findings if finding.check == "handshake"}
    if len(refused) <= 2:
        yield from refused
    else:
        yield f"{len(set(refused.values()))} names are refused or cannot be looked at"
    ours = dict.fromkeys(str(finding.name) for finding in report.findings
                         if finding.check == "client-certificate" and "refuses the client's" in finding.seen)
    if ours:
        yield f"the client's certificate is refused by {listed(ours)}"


def trust(report: Report) -> Iterator[str]:
    distrusted = [str(finding.name) for finding in report.findings if finding.check == "certificate"]
    if distrusted:
        all_are = len(distrusted) == len(report.options.verified)
        yield f"certificate not trusted{'' if all_are else ' for ' + listed(distrusted)}"
