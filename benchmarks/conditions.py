"""The conditions under which figures were measured: when, by which commit, on what machine, how busy, with what."""

import os
import platform
import re
import shlex
import shutil
import ssl
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import NamedTuple, Optional

import pysidctx
import pysidctx.binding
from benchmarks import ROOT

UNKNOWN = "unknown"
# From here on, figures are doubtful: processes that wait for a processor, for each, and other processes' share of them.
BUSY_BEFORE, BUSY_MEANWHILE = 0.5, 0.1
# What tells its version on the command line.
PROGRAMS = {"nginx": "-v", "redis-server": "--version", "valgrind": "--version", "valkey-server": "--version"}


class Spent(NamedTuple):
    """Seconds of processors, and of the clock."""

    everywhere: float
    here: float  # by this process, and by those that it has waited for
    clock: float


class Conditions:
    """Those from this moment on; or with the load that was there before something else of the benchmarks."""

    def __init__(self, load: Optional[float] = None) -> None:
        self.date, self.begun = datetime.now(timezone.utc), time.monotonic()
        self.load = os.getloadavg()[0] if load is None else load
        self.spent = spent()

    def told(self, measured: Sequence[str] = ()) -> dict[str, str]:
        """All of them, as of now, by name. `measured` names distributions of Python, and programs."""
        told = {"date": f"{self.date:%Y-%m-%d %H:%M} UTC", "duration": f"{time.monotonic() - self.begun:.0f} s",
                "commit": commit(), "machine": machine(),
                "load": f"{self.load:.2f} before, {os.getloadavg()[0]:.2f} after, with the benchmark's own (1 minute)",
                "other processes": self.others_told(), "versions": versions()}
        if measured:
            told["measured"] = ", ".join(f"{name} {version_of(name)}" for name in dict.fromkeys(measured))
        return told

    def others(self) -> Optional[float]:
        """The share of the processors' time that other processes took, from 0 to 1."""
        if self.spent is None or (now := spent()) is None:
            return None
        there = (now.everywhere - self.spent.everywhere) - (now.here - self.spent.here)
        return max(there, 0) / max((now.clock - self.spent.clock) * (os.cpu_count() or 1), 0.01)

    def others_told(self) -> str:
        others = self.others()
        return UNKNOWN if others is None else f"took {100 * others:.0f} % of the processors' time meanwhile"

    def warning(self) -> Optional[str]:
        """What makes the figures doubtful."""
        others, cores = self.others() or 0, os.cpu_count() or 1
        if self.load <= BUSY_BEFORE * cores and others <= BUSY_MEANWHILE:
            return None
        return (f"Warning: the machine was busy with other things (load {self.load:.2f} on {cores} cores before, "
                f"{100 * others:.0f} % meanwhile): times, and verdicts on them, are doubtful.")


def spent() -> Optional[Spent]:
    try:
        fields = [int(each) for each in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    except OSError:
        return None
    user, nice, system, _idle, _wait, interrupts, soft, stolen = fields[:8]
    ticks = user + nice + system + interrupts + soft + stolen
    return Spent(ticks / os.sysconf("SC_CLK_TCK"), sum(os.times()[:4]), time.monotonic())


def commit() -> str:
    """The one that is checked out."""
    git = ["git", "-C", str(ROOT)]
    try:
        # Not that of another repository that this folder lies in.
        said = subprocess.run([*git, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
                              capture_output=True, text=True, check=True,
                              env=dict(os.environ, GIT_CEILING_DIRECTORIES=str(ROOT.parent))).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN
    return said.replace("-dirty", ", with changes")


def machine() -> str:
    """The processor, its cores, the memory and the kernel."""
    try:
        processor = Path("/proc/cpuinfo").read_text()
    except OSError:
        processor = ""
    model = re.search(r"^model name\s*: (.*)$", processor, re.MULTILINE)
    virtual = re.search(r"^flags\s*:.*\bhypervisor\b", processor, re.MULTILINE)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    return (f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB, "
            f"{platform.system()} {platform.release().split('-')[0]}{', virtual' if virtual else ''}")


def versions() -> str:
    free = " free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    return (f"CPython {sys.version.split()[0]}{free}, {ssl.OPENSSL_VERSION}, Cython {version_of('Cython')}, "
            f"{compiler()}, pysidctx {pysidctx.__version__} ({pysidctx.binding.binding()})")


def compiler() -> str:
    command = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    try:
        said = subprocess.run([*shlex.split(command), "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return f"compiler {UNKNOWN}"
    return said.split("\n", 1)[0]


def version_of(name: str) -> str:
    """Of a distribution of Python, or of a program in PROGRAMS."""
    if name not in PROGRAMS:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return "missing"
    program = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if program is None:
        return "missing"
    ran = subprocess.run([program, PROGRAMS[name]], capture_output=True, text=True)
    found = re.search(r"\d+(?:\.\d+)+", ran.stdout + ran.stderr)
    return found[0] if found else UNKNOWN
