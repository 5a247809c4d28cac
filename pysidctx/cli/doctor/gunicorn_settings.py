"""gunicorn's configuration: is the hook set, and does the worker class call it?"""

import importlib.util
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple, Optional

from pysidctx import environment
from pysidctx.cli.check.verdicts import FAULT, INFO, NOTE, OK
from pysidctx.cli.doctor.certificate_files import certificates
from pysidctx.cli.doctor.findings import GUNICORN, Finding
from pysidctx.cli.doctor.listener import Listener, is_another_python
from pysidctx.cli.doctor.words import parted

HOOK = "from pysidctx.servers import ssl_context_factory as ssl_context"
DEFAULT_FILE = "gunicorn.conf.py"
UNTOLD = "; the arguments of its command line, which go before, are not known: pass them with --gunicorn"


class Command(NamedTuple):
    """How gunicorn is started, as far as that is known."""

    arguments: list[str]         # of its command line, with --config
    are_told: bool               # whether those of its command line are known
    is_in_use: bool              # whether anything says that the server is gunicorn
    environment: dict[str, str]
    folder: str
    is_running: bool = False     # whether the process that listens is known
    is_another: bool = False     # whether that is another server
    is_served: bool = False      # whether `pysidctx serve` has started it
    is_plain: bool = False       # whether it is a server that `pysidctx serve` could start


def command(config: Optional[str], arguments: Optional[str], server: Optional[Listener]) -> Command:
    """What the user says goes before what the process that listens says. Raises ValueError for `arguments`."""
    variables, folder = dict(os.environ), os.getcwd()
    told = None if arguments is None else shlex.split(arguments)
    named = [] if config is None else ["--config", config]
    if server is not None:
        variables = variables if server.environment is None else server.environment
        if told is None and config is None:
            told, folder = server.gunicorn_arguments, server.first_folder
    is_in_use = bool(named) or told is not None or bool(variables.get("GUNICORN_CMD_ARGS")) or (
        os.path.exists(DEFAULT_FILE) if server is None else server.is_gunicorn)
    found = Command([*(told or ()), *named], told is not None, is_in_use, variables, folder)
    if server is None:
        return found
    return found._replace(is_running=True, is_another=not server.is_gunicorn, is_served=server.is_served,
                          is_plain=server.plain_server is not None)


def is_installed() -> bool:
    return importlib.util.find_spec("gunicorn") is not None


def without_settings(asked: Command) -> Iterator[Finding]:
    """What there is to say if no configuration was loaded."""
    if asked.is_another and not asked.is_in_use and asked.is_served:
        yield Finding(GUNICORN, "gunicorn", INFO, "the process that listens is not gunicorn, so there is no "
                      "configuration to look at; `pysidctx serve` sets the hook")
    elif asked.is_another and not asked.is_in_use:
        yield Finding(GUNICORN, "gunicorn", INFO, "the process that listens is not gunicorn, so there is no "
                      "configuration to look at", "" if asked.is_plain else
                      "see which servers call the hook, and which need resumable(): docs/servers.md")
    elif not is_installed():
        yield Finding(GUNICORN, "gunicorn", FAULT if asked.is_in_use else INFO,
                      f"gunicorn is not installed for {sys.executable}, so its configuration was not loaded",
                      "if the server is gunicorn, run doctor with the Python that runs it: `PYTHON -m pysidctx doctor`")
    else:
        yield Finding(GUNICORN, "gunicorn", INFO, f"there is no {DEFAULT_FILE} in {asked.folder}, and "
                      "GUNICORN_CMD_ARGS is not set, so nothing is known of gunicorn",
                      "if the server is gunicorn, run doctor in the folder in which you start it, and pass the "
                      f"arguments with --gunicorn; if it has no configuration file yet, write {DEFAULT_FILE} with this "
                      f"line: {HOOK}; or start it with `python -m pysidctx serve gunicorn` and its arguments")


def settings(found: dict[str, Any], asked: Command) -> Iterator[Finding]:
    """Judge what rehearsal.py has found."""
    if not asked.is_running:
        yield from other_program()
    where = found.get("file") or "no configuration file"
    if found["error"]:
        yield Finding(GUNICORN, "configuration", FAULT, f"gunicorn cannot load its configuration ({where}): "
                      f"{found['error']}", "correct that: gunicorn does not start with it either")
        return
    for message in found["warnings"]:
        seen, do = parted(message)
        yield Finding(GUNICORN, "warning", FAULT, seen, do or "change the configuration, and restart the server")
    yield Finding(GUNICORN, "configuration", OK, f"gunicorn {found['version']} with {where}: "
                  f"workers = {found['workers']}, threads = {found['threads']}, "
                  f"preload_app = {found['preload_app']}, keepalive = {found['keepalive']}, "
                  f"bind = {', '.join(found['bind'])}" + ("" if asked.are_told else UNTOLD))
    yield from certificates(found, asked.are_told)
    yield from hook(found, asked)
    yield from worker_class(found, asked)


def hook(found: dict[str, Any], asked: Command) -> Iterator[Finding]:
    kind, name = found["hook"]["kind"], found["hook"].get("name")
    if kind == "impossible":
        yield Finding(GUNICORN, "hook", FAULT, f"gunicorn {found['version']} has no hook ssl_context",
                      "install gunicorn 21 or later")
    elif kind == "none" and found["worker"].get("ours"):
        yield Finding(GUNICORN, "hook", OK, f"ssl_context is not set, so {found['worker']['name']} calls "
                      "pysidctx.servers.ssl_context_factory")
    elif kind == "none" and asked.is_served:
        yield Finding(GUNICORN, "hook", OK, "ssl_context is not set, so `pysidctx serve` sets it to "
                      "pysidctx.servers.ssl_context_factory")
    elif kind == "none":
        file = f"put this line at the top of {found['file']}" if found.get("file") else (
            f"write {os.path.join(found['folder'], DEFAULT_FILE)} with this line")
        # Without a file, its command line may name one.
        yield Finding(GUNICORN, "hook", FAULT if found.get("file") or asked.are_told else NOTE,
                      "ssl_context is not set: gunicorn makes a new SSLContext for each connection, and no session is "
                      "resumed", f"{file}, and restart gunicorn: {HOOK}; or start it with `python -m pysidctx serve "
                      "gunicorn` and its arguments")
    elif kind == "other":
        yield from other_hook(found, name)
    else:
        yield Finding(GUNICORN, "hook", OK, f"ssl_context is {name}")


def other_hook(found: dict[str, Any], name: str) -> Iterator[Finding]:
    if not found["imported"] and not found["variables"].get(environment.SECRET_FILE):
        yield Finding(GUNICORN, "hook", NOTE, f"ssl_context is a function of your own, {name}, and the configuration "
                      "does not import pysidctx.servers: if the function does, each worker makes keys of its own, and "
                      "if not, pysidctx does nothing",
                      "import pysidctx.servers at the top of the file, and let the function return "
                      "ssl_context_factory(config, default_factory)")
    else:
        yield Finding(GUNICORN, "hook", INFO, f"ssl_context is a function of your own, {name}: whether it calls "
                      "pysidctx cannot be told from outside",
                      "see that it returns ssl_context_factory(config, build), where build() makes the context; a "
                      "check of the port shows whether it works")


def worker_class(found: dict[str, Any], asked: Command) -> Iterator[Finding]:
    worker = found["worker"]
    name = worker["name"]
    if worker["error"]:
        yield Finding(GUNICORN, "worker-class", FAULT, f"the worker class {name} cannot be loaded: {worker['error']}",
                      "install what it needs for this Python, or set worker_class to another one")
    elif worker["instead"] and asked.is_served:
        yield Finding(GUNICORN, "worker-class", OK, f"the worker class {name} does not call the hook, so `pysidctx "
                      f"serve` uses {worker['instead']}")
    elif worker["instead"]:
        yield Finding(GUNICORN, "worker-class", FAULT, f"the worker class {name} does not call the hook ssl_context",
                      f'set worker_class = "{worker["instead"]}"')
    elif worker["too old"]:
        yield Finding(GUNICORN, "worker-class", FAULT, f"the worker class {name} has no effect with this uvicorn, "
                      "which does not know the argument ssl_context_factory", "install uvicorn 0.47 or later")
    elif worker["calls"]:
        yield Finding(GUNICORN, "worker-class", OK, f"the worker class {name} calls the hook")
    else:
        yield Finding(GUNICORN, "worker-class", INFO, f"whether the worker class {name} calls the hook ssl_context is "
                      "not known", "check the port, which shows it")


def other_program() -> Iterator[Finding]:
    """Whether the command `gunicorn` is that of another Python."""
    program = shutil.which("gunicorn")
    if program is None:
        return
    with suppress(OSError), open(program, "rb") as script:
        python = os.fsdecode(script.readline(4096)).partition("#!")[2].strip()
        if is_another_python(python):
            yield Finding(GUNICORN, "program", NOTE, f"the command {program} runs {python}, but doctor runs "
                          f"{sys.executable}", f"if you start that one, run `{python} -m pysidctx doctor`")
