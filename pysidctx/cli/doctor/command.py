"""`doctor`: why does a server not resume sessions? It looks, and changes nothing."""

import argparse
import os
import sys
from typing import Any, Optional

from pysidctx import environment
from pysidctx.cli.check.address import refuse_invalid
from pysidctx.cli.doctor import gunicorn_settings
from pysidctx.cli.doctor.findings import Diagnosis, has_fault
from pysidctx.cli.doctor.listener import Listener, listener
from pysidctx.cli.doctor.output import show
from pysidctx.cli.doctor.port import checked, without_port
from pysidctx.cli.doctor.port_process import process_findings
from pysidctx.cli.doctor.rehearse import rehearse
from pysidctx.cli.doctor.secret_file import secret_findings
from pysidctx.cli.doctor.surroundings import surroundings

UNFINISHED = 3  # the exit code if no fault was found, but the audit of the port ended early


def run(arguments: argparse.Namespace) -> int:
    """Returns 1 for a fault, 2 for invalid arguments, 3 if the audit of the port ended early, otherwise 0."""
    try:
        if arguments.host is not None:
            refuse_invalid(arguments.host)
    except ValueError as error:
        print(f"pysidctx doctor: {error}", file=sys.stderr)
        return 2
    server = None if arguments.host is None else listener(arguments.host)
    try:
        asked = gunicorn_settings.command(arguments.config, arguments.gunicorn,
                                          server if server is not None and server.is_judged else None)
    except ValueError as error:
        print(f"pysidctx doctor: --gunicorn {arguments.gunicorn!r} cannot be parted into arguments: {error}",
              file=sys.stderr)
        return 2
    diagnosis = diagnosed(arguments, asked, server)
    show(diagnosis, arguments.json)
    if diagnosis.fails_on(arguments.fail_on):
        return 1
    return 0 if diagnosis.finished else UNFINISHED


def diagnosed(arguments: argparse.Namespace, asked: gunicorn_settings.Command, server: Optional[Listener]) -> Diagnosis:
    settings: dict[str, Any] = {}
    if asked.is_in_use and gunicorn_settings.is_installed():
        settings = rehearse(asked.arguments, asked.environment, asked.folder)
    # As the server has them, because the configuration may set variables, too.
    variables = settings.get("variables") or {name: value for name, value in asked.environment.items()
                                              if name in environment.VARIABLES}
    unknown = settings.get("unknown") or [name for name in asked.environment if environment.is_unknown(name)]
    folder = settings.get("folder") or asked.folder
    path = variables.get(environment.SECRET_FILE)
    judged = server if server is not None and server.is_judged else None
    secret = list(secret_findings(os.path.join(folder, path) if path else path,
                                  spawns=judged is not None and judged.spawns and judged.loads_pysidctx,
                                  is_served=judged is not None and judged.is_served,
                                  started=None if judged is None or not judged.loads_pysidctx else judged.started))
    others = {name: value for name, value in asked.environment.items() if name not in environment.VARIABLES}
    rehearsed = rehearse(None, {**others, **variables}, folder)
    around = surroundings(variables, unknown, rehearsed, has_fault(secret))
    if settings:  # what is told of the environment needs not be told twice
        settings["warnings"] = [said for said in settings.get("warnings", ()) if said not in rehearsed["warnings"]]
    gunicorn = gunicorn_settings.settings(settings, asked) if settings else gunicorn_settings.without_settings(asked)
    found = [*process_findings(arguments.host, server, settings.get("bind", ())), *around, *secret, *gunicorn]
    port = (without_port(settings.get("bind", [])) if arguments.host is None
            else checked(arguments, settings.get("files", {}).get("certfile")))
    return Diagnosis(arguments.host, [*found, *port.findings], port.report, port.finished)
