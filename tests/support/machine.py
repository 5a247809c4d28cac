"""What the tests find on the machine, and what they do where something is missing."""

import importlib
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

SUPPORT = Path(__file__).resolve().parent
ROOT = SUPPORT.parent.parent

# What was compiled before is taken from ccache where that is there, from whatever folder it was; and what
# Cython has translated before from its own cache.
COMPILER = "ccache cc" if shutil.which("ccache") else "cc"
COMPILING = {"CYTHON_CACHE_DIR": str(ROOT / "build" / "cython-cache"), **os.environ,
             "CCACHE_NOHASHDIR": "1", "CC": COMPILER}
# For building the package where its speed does not matter.
UNOPTIMIZED = dict(COMPILING, CFLAGS="-O0")


def lack(what: str) -> NoReturn:
    """Skip the test, saying what is missing; in CI, where it should be there, fail it."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def program(name: str, package: str) -> str:
    """The path of a program."""
    path = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if path is None:
        lack(f"the program {name} is missing: install {package}")
    return path


def module(name: str, package: str) -> ModuleType:
    """An imported module of another library."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        lack(f"the module {name} is missing: install {package}")
