"""Compile C and Cython extension modules against pysidctx, as its users do."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

from machine import ROOT, UNOPTIMIZED

import pysidctx

SOURCES = ROOT / "tests" / "consumers"
HEADERS = Path(pysidctx.__file__).parent  # the library's own, of the package that is tested

SETUP = """
import sys
from pathlib import Path
import pysidctx
from Cython.Build import cythonize
from setuptools import Extension, setup
*inner, sources = sys.argv[1:]
sources = sources.split()
sys.argv[1:] = ["build_ext", "--inplace"]
# Told by hand because an editable installation hides its .pxd files from Cython.
editable = not Path(pysidctx.get_include()).is_relative_to(Path(pysidctx.__file__).parent)
setup(name="consumers", py_modules=[], ext_modules=cythonize(
    [Extension(source.rsplit(".", 1)[0], [source], include_dirs=[pysidctx.get_include(), *inner],
               extra_compile_args=["-g0", "-Werror", "-Wno-unused-function"]) for source in sources],
    include_path=[str(Path(pysidctx.__file__).parent.parent)] if editable else [],
    compiler_directives={"language_level": 3, "freethreading_compatible": True}))
"""


def build(folder: Path, *sources: str, python: "Path | str" = sys.executable, inner: bool = False) -> None:
    """Build source files, of this folder or else already in `folder`, into modules in `folder`.

    `inner`: with the library's own headers, which its users do not have.
    """
    for source in sources:
        if (SOURCES / source).exists():
            shutil.copy(SOURCES / source, folder)
    headers = [str(HEADERS)] if inner else []
    ran = subprocess.run([python, "-c", SETUP, *headers, " ".join(sources)],
                         cwd=folder, env=UNOPTIMIZED, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def load(folder: Path, name: str) -> ModuleType:
    """Import a module that build() made."""
    (path,) = folder.glob(f"{name}.*.so")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
