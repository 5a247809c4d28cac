"""Build a part of the package from its sources, and take the rest as it was built for this Python.

All modules of a build differ from those of another in how OpenSSL is found in one: `pysidctx.binding`.
"""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pysidctx

PACKAGE = Path(pysidctx.__file__).parent
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")


def keep_modules(tree: Path, *names: str) -> None:
    """Remove the sources of all other modules from a source tree, so that a build there compiles these alone."""
    for path in (tree / "pysidctx").rglob("*.pyx"):
        if path.stem not in names:
            path.unlink()


def copy_modules(folder: Path, *but: str) -> None:
    """Copy the modules as they were built for this Python, except these, to a folder with the rest of the package."""
    for path in PACKAGE.rglob(f"*{SUFFIX}"):
        if path.name.partition(".")[0] not in but:
            shutil.copy(path, folder / path.relative_to(PACKAGE))


def setup(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run the setup.py of a source tree."""
    return subprocess.run([sys.executable, "setup.py", *arguments], capture_output=True, text=True, **options)


def output(*command: Any, **options: Any) -> str:
    """What a program prints that does not fail."""
    ran: "subprocess.CompletedProcess[str]" = subprocess.run(command, capture_output=True, text=True, **options)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def binding_in(tree: Path) -> "list[str]":
    """The package that was built there: its folder, how it found libssl, and what it was built with."""
    code = ("import pysidctx; from pysidctx import binding;"
            "print(pysidctx.__path__[0], binding.binding(), binding.built_with(), sep='\\n')")
    return output(sys.executable, "-c", code, cwd=tree).splitlines()
