"""The report of an audit as metrics in the text format of Prometheus, for the textfile collector of node_exporter."""

import time
from typing import Optional

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from pysidctx.cli.check.client import VERSIONS
from pysidctx.cli.check.report import Report
from pysidctx.cli.check.verdicts import FAULT, NOTE, Finding

PREFIX = "pysidctx_check_"


class Metrics:
    """The metrics of one target, which all of its samples have as a label."""

    def __init__(self, target: str) -> None:
        self.registry = CollectorRegistry()
        self.target = target
        self.made: dict[str, Gauge] = {}

    def put(self, metric: str, text: str, value: float, /, **labels: str) -> None:
        if metric not in self.made:
            self.made[metric] = Gauge(PREFIX + metric, text, ["target", *labels], registry=self.registry)
        self.made[metric].labels(self.target, *labels.values()).set(value)

    def text(self) -> bytes:
        made: bytes = generate_latest(self.registry)
        return made


def of_failure(target: str, failure: str) -> bytes:
    """Return the metrics of an audit without a report. They contain nothing of an earlier audit."""
    return of_run(target, False).text()


def of_run(target: str, success: bool) -> Metrics:
    metrics = Metrics(target)
    metrics.put("success", "Whether the last audit was made to its end: 0 if it failed or ended early.", success)
    metrics.put("timestamp_seconds", "When the last audit ended, or failed, in seconds since 1970.", time.time())
    return metrics


def of_report(report: Report, target: str, success: bool = True) -> bytes:
    """Return the metrics of a report. `success` is False if another file of the same audit could not be written."""
    metrics = of_run(target, success and not report.evidence.unfinished)
    metrics.put("duration_seconds", "How long the audit took.", report.evidence.seconds)
    metrics.put("connections", "How many connections the audit made.", report.evidence.connections)
    put_grades(metrics, report)
    for finding in report.findings:
        put_resumption(metrics, finding)
        put_ticket(metrics, finding)
    put_crossings(metrics, report.findings)
    return metrics.text()


def version_of(finding: Finding) -> str:
    return finding.where.version if finding.where else ""


def of_name(finding: Finding) -> dict[str, str]:
    return {"name": finding.name or "", "version": version_of(finding)}


def put_grades(metrics: Metrics, report: Report) -> None:
    """Add the number of findings of each grade, also if it is 0, so that an alert ends when the fault does."""
    names: list[Optional[str]] = [*report.options.names] or [None]
    for grade, metric in ((FAULT, "faults"), (NOTE, "notes")):
        counts = {(name or "", version): 0 for name in names for version in ("", *VERSIONS)}
        counts["", ""] = 0
        for finding in report.findings:
            if finding.grade == grade:
                place = finding.name or "", version_of(finding)
                counts[place] = counts.get(place, 0) + 1
        for (name, version), count in counts.items():
            metrics.put(metric, f"How many {metric} were found; without a name or version, those of no certain one.",
                        count, name=name, version=version)


def put_resumption(metrics: Metrics, finding: Finding) -> None:
    if finding.check != "resumption" or finding.where is None:
        return
    labels = {**of_name(finding), "way": finding.where.kind or ""}
    resumed, tried = finding.resumed or 0, finding.tried
    if tried is not None:
        metrics.put("returning_connections", "How many connections offered a session.", tried, **labels)
        metrics.put("resumed_connections", "How many of them were resumed.", resumed, **labels)
    if tried or (tried is None and finding.grade in (NOTE, FAULT)):
        metrics.put("resumed_ratio", "The share of returning connections that were resumed, from 0 to 1; 0 where no "
                    "session is offered.", resumed / tried if tried else 0, **labels)


def put_ticket(metrics: Metrics, finding: Finding) -> None:
    if finding.bytes is not None:
        metrics.put("ticket_size_bytes", "The size of a ticket.", finding.bytes, **of_name(finding))
    if finding.seconds is not None:
        metrics.put("ticket_lifetime_seconds", "How long tickets are valid, as the server says.", finding.seconds,
                    **of_name(finding))


def put_crossings(metrics: Metrics, findings: list[Finding]) -> None:
    offered: dict[tuple[str, str], list[int]] = {}
    for finding in findings:
        if finding.made_for is not None and finding.tried:
            offered.setdefault((finding.name or "", version_of(finding)), []).append(finding.resumed or 0)
    for (name, version), resumed in offered.items():
        metrics.put("offered_sessions", "How many sessions that were made for other names were offered to this one.",
                    len(resumed), name=name, version=version)
        metrics.put("crossed_sessions", "How many of them were resumed.", sum(resumed), name=name, version=version)
