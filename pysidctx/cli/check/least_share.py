"""The option --least-share: the least share of returning connections that must be resumed, by name and version."""

from typing import Optional

from pysidctx.cli.check.audit import Evidence, Way
from pysidctx.cli.check.verdicts import FAULT, NOTE, Finding


def held_to(least: float, findings: list[Finding], evidence: Evidence) -> list[Finding]:
    """Return the findings, with a smaller share as a fault, and add a fault for each share that is unknown."""
    made = list(findings)
    for version, hosts in evidence.hosts.items():
        for host in hosts:
            if host.lacks_version:
                continue
            deciding = decides(findings, version, host.name)
            if deciding is not None:
                made[made.index(deciding)] = judged(deciding, least)
            elif not evidence.unfinished:
                made.append(unknown(Way(version), host.name, least))
    if not evidence.unfinished:
        made += [unknown(None, name, least) for name in without_versions(evidence)]
    return made


def decides(findings: list[Finding], version: str, name: Optional[str]) -> Optional[Finding]:
    """Return the finding about the way that clients use: tickets if they are offered, otherwise session ids."""
    found = [finding for finding in findings if finding.check == "resumption" and finding.name == name
             and finding.where is not None and finding.where.version == version]
    told = [finding for finding in found if finding.tried is not None or finding.grade in (NOTE, FAULT)]
    return min(told, key=lambda finding: finding.where is not None and finding.where.tickets is False, default=None)


def judged(finding: Finding, least: float) -> Finding:
    if finding.tried and (finding.resumed or 0) / finding.tried >= least:
        return finding
    words = ", which is less than" if finding.tried else "; asked for is"
    return finding._replace(
        grade=FAULT, seen=f"{finding.seen}{words} a share of {least:g}",
        why=finding.why or "returning clients need full handshakes",
        do=finding.do or "share ticket keys among all workers")


def unknown(where: Optional[Way], name: Optional[str], least: float) -> Finding:
    return Finding(
        "resumption", where, FAULT, f"no session could be had; asked for is a share of {least:g}",
        "the audit cannot tell whether enough returning connections are resumed",
        "read the finding about its handshake; if it requires a client certificate, pass one with --client-cert",
        name=name, resumed=0, tried=0)


def without_versions(evidence: Evidence) -> list[Optional[str]]:
    """Return the names for which the server offers no version."""
    lacking = {name for hosts in evidence.hosts.values() for name in (host.name for host in hosts)}
    lacking -= {host.name for hosts in evidence.hosts.values() for host in hosts if not host.lacks_version}
    return sorted(lacking, key=str)
