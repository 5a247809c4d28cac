"""Build a part of the package from its sources, and take the rest as it was built for this Python.

All modules of a build differ from those of another in how OpenSSL is found in one: `pysidctx.binding`.
"""

import shutil
import sysconfig
from pathlib import Path

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
