"""What the process that listens on the port tells: is it Python, and has it loaded pysidctx?"""

import sys
from collections.abc import Iterator, Sequence
from typing import Optional

from pysidctx.cli.check.verdicts import INFO, NOTE, OK
from pysidctx.cli.doctor.findings import PROCESS, Finding
from pysidctx.cli.doctor.listener import Listener, is_another_python


def process_findings(target: Optional[str], found: Optional[Listener], bind: Sequence[str] = ()) -> Iterator[Finding]:
    """`bind` are the addresses of the configuration, if one was loaded."""
    if target is None:
        return
    if found is None:
        yield Finding(PROCESS, "process", INFO, f"no process of this user, on this machine, is known to listen on "
                      f"{target}: what is told below of the environment and of gunicorn is that of doctor itself",
                      "run doctor where the server runs, and as its user" + (
                          f", or pass the address that the configuration binds: {', '.join(bind)}"
                          if bind and target not in bind else ""))
        return
    named = f"process {found.number}, which listens there,"
    if not found.is_python:
        yield Finding(PROCESS, "process", NOTE, f"{named} is {found.program}, and not Python: it speaks TLS, and "
                      "decides on resumption", "see the settings of that program: pysidctx has no effect on it. "
                      "What is told below of the environment and of gunicorn is that of doctor itself")
        return
    if found.is_contained:
        yield Finding(PROCESS, "process", INFO, f"{named} sees other files than doctor, as in a container: "
                      f"{found.command}",
                      "run doctor there, such as with `docker exec`: what is told below is that of doctor itself")
        return
    if not found.is_own:
        yield Finding(PROCESS, "process", INFO, f"{named} belongs to user {found.user}: {found.command}",
                      "run doctor as that user: its environment and configuration were not looked at, and what is "
                      "told below is that of doctor itself")
        return
    if found.environment is None:
        yield Finding(PROCESS, "process", NOTE, f"{named} has overwritten its environment and arguments with a title, "
                      f"as the package setproctitle does: {found.command}, in {found.folder}. What is judged below is "
                      "the environment of doctor",
                      "run doctor with the environment of the server, and pass the arguments of gunicorn with "
                      "--gunicorn")
    else:
        yield Finding(PROCESS, "process", INFO, f"{named} is: {found.command}, in {found.folder}. Its environment, "
                      "folder and arguments are judged below")
    if found.loads_pysidctx:
        yield Finding(PROCESS, "loaded", OK, "it has loaded pysidctx")
    else:
        server = found.plain_server
        yield Finding(PROCESS, "loaded", NOTE, "it has not loaded pysidctx, which therefore has no effect on it",
                      f"restart it with its arguments as `python -m pysidctx serve {server} ARGUMENTS`" if server else
                      "if the hook is set, restart the server; if not, set it, or call pysidctx.resumable() where it "
                      "makes its SSLContext")
    python = found.arguments[0]
    if is_another_python(python):
        yield Finding(PROCESS, "interpreter", NOTE, f"it runs with {python}, but doctor with {sys.executable}",
                      f"install pysidctx there, too, and run `{python} -m pysidctx doctor`")
