"""Find programs and modules on the machine, and skip a test if one is missing."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

SUPPORT = Path(__file__).resolve().parent
ROOT = SUPPORT.parent.parent

# What was compiled before is taken from ccache where that is there, from whatever folder it was; and what
# Cython has translated before from its own cache.
CCACHE = shutil.which("ccache")
COMPILER = "ccache cc" if CCACHE else "cc"
COMPILING = {"CYTHON_CACHE_DIR": str(ROOT / "build" / "cython-cache"), **os.environ,
             "CCACHE_NOHASHDIR": "1", "CC": COMPILER}
# For what is built to be tried once.
UNOPTIMIZED = dict(COMPILING, CFLAGS="-O0")
# For building the package: as `make` has built it, of which ccache has all files, or else quickly.
BUILDING = COMPILING if CCACHE else UNOPTIMIZED


def compiler_without_openssl(folder: Path) -> str:
    """A compiler that finds no header of OpenSSL, for CC; it keeps files in a folder of its own."""
    used = subprocess.run(["cc", "-E", "-"], input="#include <openssl/ssl.h>\n", capture_output=True, text=True).stdout
    names = {path.name for found in set(re.findall(r'"(.*/openssl)/\w+\.h"', used)) for path in Path(found).glob("*.h")}
    names |= set(re.findall(r"<openssl/(.*)>", (ROOT / "include" / "openssl_check.h").read_text()))
    (folder / "openssl").mkdir(parents=True)
    for name in names:
        (folder / "openssl" / name).write_text("#error there is no such file\n")
    ran = subprocess.run([*COMPILER.split(), "-I", folder, "-fsyntax-only", "-x", "c", "-"], capture_output=True,
                         input="#include <openssl/ssl.h>\n", text=True)
    assert "there is no such file" in ran.stderr
    return f"{COMPILER} -I{folder}"


def lack(what: str, *, since: tuple[int, int] = (3, 9)) -> NoReturn:
    """Skip the test with the name of the missing program. In CI, which should have it, fail the test.

    `since`: the oldest Python for which it exists. It is missing on older ones in CI, too.
    """
    if sys.version_info < since:
        pytest.skip(f"{what}, which needs Python {since[0]}.{since[1]} or later")
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
