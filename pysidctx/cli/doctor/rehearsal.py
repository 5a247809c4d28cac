"""In a process of its own: what gunicorn makes of its configuration, and pysidctx.servers of its environment.

Files that pysidctx would create or change to share them with other processes stay in the memory of this process. The
configuration is the user's code, which is run.
"""

import errno
import inspect
import json
import os
import signal
import stat
import sys
import sysconfig
import tempfile
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Optional

from pysidctx import environment, shared_files

SECONDS = 30       # for which it may run
HEAD = 1 << 20     # bytes at the beginning of a shared file that tell what it is

Facts = dict[str, Any]


def main(asked: Facts) -> None:
    """Write the facts, as JSON, to the descriptor `asked["result"]`, and end."""
    signal.alarm(SECONDS)  # if the process that has started this one is killed
    SharedAside().take_the_place_of_files()
    found: Facts = {}
    error = None
    with warnings.catch_warnings(record=True) as emitted:
        warnings.simplefilter("always")
        try:
            if asked["arguments"] is None:
                import pysidctx.servers  # noqa: F401, which reads the environment
            else:
                found.update(gunicorn_facts(asked["arguments"], partial(begun, found, asked["result"])))
        except BaseException as raised:  # by the user's code, which may also call sys.exit()
            error = in_words(raised, found.get("file"))
    told = [str(each.message) for each in emitted if str(each.message).startswith("pysidctx: ")]
    write(asked["result"], {**found, "error": error, "warnings": told})
    os._exit(0)  # run nothing that the configuration wants to be run at the end


def begun(found: Facts, result: int, file: str) -> None:
    """Note which file gunicorn loads, before its code is run, which may end this process."""
    found["file"] = file
    write(result, found)


def write(result: int, found: Facts) -> None:
    data = json.dumps(found).encode()
    os.ftruncate(result, 0)
    os.pwrite(result, data, 0)


class SharedAside:
    """Takes the place of files that processes share: they are neither created nor changed, but judged as they are."""

    def __init__(self) -> None:
        self.open_file = shared_files.open_existing
        self.copies: dict[str, int] = {}
        self.folder: Optional[str] = None  # of the file that is made at present

    def take_the_place_of_files(self) -> None:
        shared_files.open_existing = self.open_existing
        shared_files.make = self.make
        shared_files.allocate = self.allocate

    def open_existing(self, path: str) -> int:
        """Return the descriptor of a copy. Raises what the function in shared_files raises for the file."""
        name = os.path.abspath(path)
        if name not in self.copies:
            file = self.open_file(path)
            try:
                status = os.fstat(file)
                if not stat.S_ISREG(status.st_mode):
                    return os.dup(file)  # which is refused
                self.copies[name] = copy = unnamed()
                os.ftruncate(copy, status.st_size)
                os.pwrite(copy, os.pread(file, HEAD, 0), 0)
                os.fchmod(copy, stat.S_IMODE(status.st_mode))
                with suppress(PermissionError):  # the file of another user that is open to us is refused for its mode
                    os.fchown(copy, status.st_uid, -1)
            finally:
                os.close(file)
        return os.dup(self.copies[name])

    def make(self, path: str, fill: Callable[[int], None]) -> None:
        folder = os.path.dirname(os.path.abspath(path))
        os.stat(folder)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)
        made = unnamed()
        os.fchmod(made, 0o600)
        self.folder = folder
        try:
            fill(made)
        finally:
            self.folder = None
        self.copies[os.path.abspath(path)] = made

    def allocate(self, file: int, size: int) -> None:
        if self.folder is not None:
            room = os.statvfs(self.folder)
            if size > room.f_bavail * room.f_frsize:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.ftruncate(file, max(size, os.fstat(file).st_size))


def unnamed() -> int:
    """Return the descriptor of a file that has no name."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("pysidctx doctor", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def gunicorn_facts(arguments: list[str], begun: Callable[[str], None]) -> Facts:
    """Load the configuration as gunicorn does. `begun` is called with the path of the file."""
    from gunicorn import __version__
    from gunicorn.app.base import Application

    class Rehearsal(Application):  # type: ignore[misc, unused-ignore]
        """gunicorn's own program up to the point at which it would start."""

        def do_load_config(self) -> None:
            """As gunicorn's, without the last resort of printing an error and ending."""
            self.load_default_config()
            self.load_config()
            if hasattr(type(self.cfg), "validate"):  # older ones have no such function
                self.cfg.validate()

        def init(self, parser: Any, opts: Any, args: Any) -> None:
            """There is an application, or none: this is not about it."""

        def load_config_from_file(self, filename: str) -> Any:
            begun(filename if filename.startswith("python:") else os.path.abspath(
                filename[len("file:"):] if filename.startswith("file:") else filename))
            return super().load_config_from_file(filename)

    sys.argv = ["gunicorn", *arguments]
    cfg = Rehearsal("%(prog)s [OPTIONS] [APP_MODULE]", prog="gunicorn").cfg
    imported = "pysidctx.servers" in sys.modules
    variables = known_variables({**os.environ, **cfg.env})
    unknown = [name for name in {**os.environ, **cfg.env} if environment.is_unknown(name)]
    for name in variables:  # what they say is judged elsewhere, and must not keep pysidctx.servers from its import
        os.environ.pop(name, None)
    return {
        "version": __version__, "folder": os.getcwd(), "variables": variables, "unknown": unknown, "imported": imported,
        "hook": hook_facts(cfg), "worker": worker_facts(cfg), "tls": bool(cfg.is_ssl),
        "cert_reqs": int(cfg.cert_reqs),
        "workers": cfg.workers, "threads": cfg.threads, "files": {
            name: os.path.abspath(getattr(cfg, name)) for name in ("certfile", "keyfile", "ca_certs")
            if getattr(cfg, name)},
        "preload_app": bool(cfg.preload_app), "keepalive": cfg.keepalive, "bind": [*map(str, cfg.bind)],
    }


def known_variables(found: dict[str, str]) -> dict[str, str]:
    """Return those of pysidctx. None of them contains a secret, but an unknown one may."""
    return {name: value for name, value in found.items() if name in environment.VARIABLES}


def hook_facts(cfg: Any) -> Facts:
    from pysidctx.servers import SSLContextFactory, ssl_context_factory
    from pysidctx.servers.gunicorn_hook import hook_of
    if "ssl_context" not in cfg.settings:
        return {"kind": "impossible"}
    hook = hook_of(cfg)
    if hook is None:
        return {"kind": "none"}
    while isinstance(hook, partial):
        hook = hook.func
    if hook is ssl_context_factory:
        return {"kind": "default", "name": "pysidctx.servers.ssl_context_factory"}
    if isinstance(hook, SSLContextFactory):
        return {"kind": "own keys", "name": "a pysidctx.servers.SSLContextFactory"}
    return {"kind": "other", "name": name_of(hook)}


def name_of(thing: Any) -> str:
    kind = thing if hasattr(thing, "__qualname__") else type(thing)
    module = "" if kind.__module__ == "__config__" else f"{kind.__module__}."  # the name that gunicorn gives its file
    return f"{module}{kind.__qualname__}"


def worker_facts(cfg: Any) -> Facts:
    from pysidctx.servers.gunicorn_hook import in_place_of
    try:
        kind = cfg.worker_class
        if not inspect.isclass(kind):
            raise TypeError(f"worker_class is {kind!r}, which is no class")
    except Exception as error:
        return {"name": str(cfg.settings["worker_class"].get()), "error": in_words(error.__context__ or error, None)}
    return {"name": name_of(kind), "error": None, "instead": in_place_of(kind), "calls": calls_hook(kind),
            "ours": "calls_ssl_context" in dir(kind), "too old": has_old_uvicorn(kind)}


def calls_hook(kind: type) -> Optional[bool]:
    """Whether a worker class calls the hook; None if that cannot be told."""
    from pysidctx.servers.gunicorn_hook import in_place_of
    if in_place_of(kind) is not None:
        return False
    of_gunicorn = any(each.__module__.startswith("gunicorn.workers.") and each.__module__ not in (
        "gunicorn.workers.base", "gunicorn.workers.base_async") for each in kind.__mro__)
    return True if of_gunicorn or "calls_ssl_context" in dir(kind) else None


def has_old_uvicorn(kind: type) -> bool:
    """Whether it is pysidctx's class on a uvicorn that does not know the hook."""
    if not any(each.__module__ == "pysidctx.servers.uvicorn_worker" for each in kind.__mro__):
        return False
    import uvicorn
    return "ssl_context_factory" not in inspect.signature(uvicorn.Config.__init__).parameters


def in_words(error: BaseException, file: Optional[str]) -> str:
    """Tell an error in one line, with the line of the user's code that has raised it.

    `file` is the configuration file, which is not named again; None: there is none.
    """
    if isinstance(error, SystemExit):
        if error.__context__ is None:  # else gunicorn has caught an error, and would end
            return f"it ends the program, with exit code {error.code}"
        error = error.__context__
    told = traceback.format_exception_only(type(error), error)[-1].strip()
    places = [(os.path.abspath(frame.f_code.co_filename), number)
              for frame, number in traceback.walk_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.lineno is not None:
        places.append((os.path.abspath(error.filename or ""), error.lineno))
    for path, number in reversed(places):
        if path == file:
            return f"{told} (line {number})"
        if file is not None and is_of_user(path):
            return f"{told} ({path}, line {number})"
    return told


def is_of_user(path: str) -> bool:
    """Whether a file of code is neither Python's, nor that of a package that is installed, nor of pysidctx."""
    libraries = sysconfig.get_path("stdlib"), os.path.dirname(environment.__file__)
    return os.path.isfile(path) and not path.startswith(tuple(f"{folder}{os.sep}" for folder in libraries)) and not (
        {"site-packages", "dist-packages"} & {*path.split(os.sep)})
