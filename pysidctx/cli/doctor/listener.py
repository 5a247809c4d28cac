"""The process that listens on a port of this machine: its program, arguments, folder and environment."""

import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Optional
from urllib.parse import urlsplit

LISTENING = "0A"  # of /proc/net/tcp
PROC = Path("/proc")


class Listener(NamedTuple):
    """A process that listens, or the one that has forked those that do."""

    number: int                 # the process id
    user: int                   # the user id
    program: str                # the file of its program
    arguments: list[str]        # its command line, with the program
    folder: str
    environment: Optional[dict[str, str]]  # when it was started; None: it has overwritten that
    loads_pysidctx: bool        # whether it, or another process that listens there, has loaded pysidctx
    spawns: bool = False        # whether others that listen there were started anew instead of forked
    is_contained: bool = False  # whether it has another root directory, as in a container
    started: Optional[float] = None  # when, in seconds since the epoch

    @property
    def is_python(self) -> bool:
        return os.path.basename(self.program).startswith(("python", "pypy"))

    @property
    def is_own(self) -> bool:
        return self.user == os.geteuid()

    @property
    def is_judged(self) -> bool:
        """Whether its environment and its configuration, which is run, are those that matter."""
        return self.is_python and self.is_own and not self.is_contained

    @property
    def command(self) -> str:
        """How it was started, without the arguments of its program, which may contain secrets."""
        end = len(self.arguments)
        for place, (before, argument) in enumerate(zip(self.arguments, self.arguments[1:]), 2):
            if argument == "-c" or before == "-m" or not argument.startswith("-") and before not in ("-W", "-X"):
                end = place
                break
        if os.path.basename(self.arguments[end - 1]) == "pysidctx" and self.is_served:
            end += 2  # serve SERVER
        return shlex.join(self.arguments[:end]) + (" ..." if end < len(self.arguments) else "")

    @property
    def gunicorn_arguments(self) -> Optional[list[str]]:
        """The arguments of gunicorn; None if it is another program, or has replaced its command line."""
        for place, argument in enumerate(self.arguments[:8]):
            if os.path.basename(argument) == "gunicorn":
                return self.arguments[place + 1:]
        return None

    @property
    def plain_server(self) -> Optional[str]:
        """Return the server, if it was started by the command line of one that has no option for the hook."""
        for name in ("uvicorn", "hypercorn"):
            if not self.is_served and any(os.path.basename(argument) == name for argument in self.arguments[1:4]):
                return name
        return None

    @property
    def is_gunicorn(self) -> bool:
        """With the package setproctitle, gunicorn writes a title over its command line and its environment."""
        return self.gunicorn_arguments is not None or self.arguments[0].startswith("gunicorn:")

    @property
    def is_served(self) -> bool:
        """Whether `pysidctx serve` has started it, which sets the hook, and a secret that all workers share."""
        command = " ".join(self.arguments[:8])
        return any(f"pysidctx{way} serve " in command for way in ("", "/__main__.py"))  # the latter after SIGUSR2

    @property
    def first_folder(self) -> str:
        """The folder in which it was started."""
        chosen = any(argument.startswith("--chdir") for argument in self.arguments)
        return (self.environment or {}).get("PWD", self.folder) if chosen else self.folder


def is_another_python(path: str) -> bool:
    """Whether an absolute path is that of another Python, or of the same in another environment."""
    folders = {os.path.realpath(os.path.dirname(each)) for each in (path, sys.executable)}
    return os.path.isabs(path) and os.path.basename(path).startswith("python") and len(folders) == 2


def listener(target: str) -> Optional[Listener]:
    """Find the process, if it is on this machine and its files in /proc can be read."""
    try:
        parts = urlsplit(f"//{target}")
        addresses = {each[4][0] for each in socket.getaddrinfo(parts.hostname, parts.port or 443,
                                                               type=socket.SOCK_STREAM)}
        own = {str(address) for address in addresses if is_of_this_machine(str(address))}
        if not own:
            return None
        processes = processes_with(set(sockets(own, parts.port or 443)))
        first = next((number for number in processes if parent(number) not in processes), None)
        return None if first is None else read(first, processes)
    except (OSError, ValueError):
        return None


def is_of_this_machine(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as found, suppress(OSError):
        found.bind((address, 0))
        return True
    return False


def sockets(addresses: set[str], port: int) -> Iterator[str]:
    """Yield what /proc calls the sockets that listen on a port of these addresses, or of all."""
    for table, anywhere in (("net/tcp", "0.0.0.0"), ("net/tcp6", "::")):
        with suppress(FileNotFoundError):
            for line in (PROC / table).read_text().splitlines()[1:]:
                _, local, _, state, *rest = line.split()
                address, _, number = local.partition(":")
                if state == LISTENING and int(number, 16) == port and in_words(address) in (*addresses, anywhere):
                    yield f"socket:[{rest[5]}]"


def in_words(address: str) -> str:
    """Return an address of /proc/net/tcp as users write it."""
    words = [bytes.fromhex(address[begin:begin + 8]) for begin in range(0, len(address), 8)]
    if sys.byteorder == "little":
        words = [word[::-1] for word in words]
    return socket.inet_ntop(socket.AF_INET if len(words) == 1 else socket.AF_INET6, b"".join(words))


def processes_with(names: set[str]) -> list[int]:
    """Return the processes that have one of these files open, as far as this user may know."""
    found: list[int] = []
    if not names:
        return found
    for folder in PROC.glob("[0-9]*/fd"):
        with suppress(OSError):
            if any(link_of(file) in names for file in folder.iterdir()):
                found.append(int(folder.parent.name))
    return sorted(found)


def link_of(file: Path) -> str:
    with suppress(OSError):
        return os.readlink(file)
    return ""


def parent(process: int) -> int:
    return int((PROC / str(process) / "stat").read_text().rpartition(")")[2].split()[1])


def started(process: int) -> float:
    """Return when a process was started, in seconds since the epoch, from its field `starttime`: proc_pid_stat(5)."""
    ticks = int((PROC / str(process) / "stat").read_text().rpartition(")")[2].split()[19])
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")


def read(process: int, all_of_them: list[int]) -> Listener:
    folder = PROC / str(process)
    return Listener(
        process, folder.stat().st_uid, os.readlink(folder / "exe"),
        [os.fsdecode(each) for each in (folder / "cmdline").read_bytes().rstrip(b"\0 ").split(b"\0")],
        os.readlink(folder / "cwd"), environment_in((folder / "environ").read_bytes()),
        any(map(has_pysidctx, all_of_them)), any(map(is_spawned, all_of_them)),
        not os.path.samefile(folder / "root", "/"), started(process))


def environment_in(data: bytes) -> Optional[dict[str, str]]:
    variables = [os.fsdecode(each).partition("=") for each in data.split(b"\0") if each]
    if not all(equals for _, equals, _ in variables) or data and not variables:
        return None
    return {name: value for name, _, value in variables if name}


def is_spawned(process: int) -> bool:
    """Whether Python's multiprocessing has started it anew, as it does for workers of uvicorn and hypercorn."""
    with suppress(OSError):
        return b"from multiprocessing.spawn import" in (PROC / str(process) / "cmdline").read_bytes()
    return False


def has_pysidctx(process: int) -> bool:
    with suppress(OSError):
        return "/pysidctx/" in (PROC / str(process) / "maps").read_text(errors="replace")
    return False
