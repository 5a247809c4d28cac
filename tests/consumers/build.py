"""Compiles C and Cython extension modules against pysidctx, as its users do."""

import subprocess
import sys
from pathlib import Path

import pysidctx

SETUP = """
import sys
from Cython.Build import cythonize
from setuptools import Extension, setup
include, package_parent, *sources = sys.argv[1:]
del sys.argv[1:]
sys.argv += ["build_ext", "--inplace"]
setup(name="consumers", py_modules=[], ext_modules=cythonize(
    [Extension(source.rsplit(".", 1)[0], [source], include_dirs=[include],
               extra_compile_args=["-Werror", "-Wno-unused-function"]) for source in sources],
    include_path=[package_parent],
    compiler_directives={"language_level": 3, "freethreading_compatible": True}))
"""


def build(folder: Path, *sources: Path) -> "list[Path]":
    """Build each source file in `folder` into a module beside it."""
    # Told by hand because an editable installation hides its .pxd files from Cython.
    package_parent = str(Path(pysidctx.__file__).parent.parent)
    ran = subprocess.run(
        [sys.executable, "-c", SETUP, pysidctx.get_include(), package_parent,
         *(source.name for source in sources)],
        cwd=folder, capture_output=True, text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return sorted(folder.glob("*.so"))
