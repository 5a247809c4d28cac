"""The port: what `check` finds there, and whether its certificate is the one of the configuration."""

import argparse
import time
from collections.abc import Iterator
from typing import Any, NamedTuple, Optional

from pysidctx.cli.check import arguments as check_arguments
from pysidctx.cli.check.report import Report, statements
from pysidctx.cli.check.verdicts import FAULT, INFO, NOTE, OK
from pysidctx.cli.doctor.findings import PORT, Finding
from pysidctx.cli.forget import certificate

OF_THE_AUDIT = "limit", "client"  # the checks of what the audit itself cannot do


class Checked(NamedTuple):
    """What the audit of a port has found, and what `check --json` prints of it."""

    findings: list[Finding]
    report: Optional[dict[str, Any]] = None
    finished: bool = True


def without_port(bind: list[str]) -> Checked:
    return Checked([Finding(PORT, "port", INFO, "no port was checked",
                            f"start the server, and pass its address, such as {(bind or ['127.0.0.1:8443'])[0]}")])


def checked(arguments: argparse.Namespace, certfile: Optional[str]) -> Checked:
    """Audit the server as `check` does."""
    try:
        from pysidctx.cli.check.command import audited
        from pysidctx.cli.check.output import Unreachable, progress
        from pysidctx.cli.check.summary import summary
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("pysidctx"):
            raise
        from pysidctx.cli import EXTRA
        return Checked([Finding(PORT, "port", NOTE, f"the port was not checked, because that needs the package "
                                f"{error.name}",
                                EXTRA)])
    try:
        with progress(arguments.json) as tell:
            report = audited(as_check_takes_them(arguments), tell, time.monotonic())
    except Unreachable as error:
        return Checked([Finding(PORT, "port", FAULT, str(error), "correct that, and run doctor again")])
    found = [*of_report(report), *other_certificate(report, certfile)]
    return Checked(found, {**report.as_json(), "summary": summary(report)}, not report.evidence.unfinished)


def as_check_takes_them(arguments: argparse.Namespace) -> argparse.Namespace:
    parser = argparse.ArgumentParser(add_help=False)
    check_arguments.add_arguments(parser)
    return argparse.Namespace(**{**vars(parser.parse_args(["--", arguments.host])), **vars(arguments)})


def of_report(report: Report) -> Iterator[Finding]:
    yield Finding(PORT, "port", OK, f"{report.heading}: a TLS server answers")
    for said in statements(report):
        grade = INFO if said.grade == NOTE and said.check in OF_THE_AUDIT else said.grade
        yield Finding(PORT, said.check, grade, f"{said.where}: {said.seen}" if said.where else said.seen, said.do,
                      said.why)


def other_certificate(report: Report, certfile: Optional[str]) -> Iterator[Finding]:
    """Say so if the server shows another certificate than the one that gunicorn is told to use."""
    if certfile is None:
        return
    try:
        own = certificate(certfile)
    except (OSError, ValueError):
        return
    shown = {host.certificate for hosts in report.evidence.hosts.values() for host in hosts} - {None}
    if shown and own not in shown:
        yield Finding(PORT, "other-certificate", NOTE, f"the certificate on this port is not the one in {certfile!r}",
                      "see what answers there: a proxy, another server, or one that was started before the certificate "
                      "was renewed. If it is a proxy, it decides on resumption: see its settings. A HostMap may also "
                      "be the reason, which has a certificate for each host")
