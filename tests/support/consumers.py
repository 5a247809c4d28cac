"""Compile C and Cython extension modules against pysidctx, as its users do.

What was built of the same files in the same way is kept in build/consumers, and copied from there.
"""

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

from machine import COMPILER, ROOT, UNOPTIMIZED

import pysidctx

SOURCES = ROOT / "tests" / "consumers"
KEPT = ROOT / "build" / "consumers"
HEADERS = Path(pysidctx.__file__).parent  # the library's own, of the package that is tested
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")

SETUP = """
import os
import sys
import pysidctx
from Cython.Build import cythonize
from setuptools import Extension, setup
*inner, sources = sys.argv[1:]
sources = sources.split()
sys.argv[1:] = ["build_ext", "--inplace"]
setup(name="consumers", py_modules=[], ext_modules=cythonize(
    [Extension(source.rsplit(".", 1)[0], [source], include_dirs=[pysidctx.get_include(), *inner],
               extra_compile_args=["-g0", "-Werror", "-Wno-unused-function"]) for source in sources],
    cache="CYTHON_CACHE_DIR" in os.environ,
    compiler_directives={"language_level": 3, "freethreading_compatible": True}))
"""


def build(folder: Path, *sources: str, python: "Path | str" = sys.executable, inner: bool = False) -> None:
    """Build source files, of this folder or else already in `folder`, into modules in `folder`.

    `python`: another interpreter, with another installation of pysidctx; then nothing is taken from what is kept.
    `inner`: with the library's own headers, which its users do not have.
    """
    for source in sources:
        if (SOURCES / source).exists():
            shutil.copy(SOURCES / source, folder)
    if python != sys.executable:
        compile_in(folder, sources, python, inner)
        return
    kept = KEPT / f"{'-'.join(sources)}{'-inner' if inner else ''}{SUFFIX}"
    modules = [f"{Path(source).stem}{SUFFIX}" for source in sources]
    kept.mkdir(parents=True, exist_ok=True)
    with open(kept / "digest", "a+") as digest:
        fcntl.flock(digest, fcntl.LOCK_EX)  # others wait for what is built already
        digest.seek(0)
        wanted = digest_of(folder, sources, inner)
        if digest.read() != wanted:
            compile_in(folder, sources, python, inner)
            digest.truncate(0)
            for module in modules:
                shutil.copy(folder / module, kept)
            digest.write(wanted)
        for module in modules:
            shutil.copy(kept / module, folder)


def compile_in(folder: Path, sources: "tuple[str, ...]", python: "Path | str", inner: bool) -> None:
    headers = [str(HEADERS)] if inner else []
    ran = subprocess.run([python, "-c", SETUP, *headers, " ".join(sources)],
                         cwd=folder, env=UNOPTIMIZED, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def digest_of(folder: Path, sources: "tuple[str, ...]", inner: bool) -> str:
    """Of everything that decides what a build makes: files, compilers, OpenSSL's headers."""
    macros = subprocess.run([*COMPILER.split(), "-E", "-dM", "-"], input="#include <openssl/opensslv.h>\n",
                            capture_output=True, text=True).stdout
    found = hashlib.sha256(repr((SETUP, sys.version, importlib.metadata.version("Cython"), macros, inner)).encode())
    files = {source: folder / source for source in sources}
    files.update((f"include/{path.name}", path) for path in Path(pysidctx.get_include()).glob("*.h"))
    for ending in ("pxd", "h"):
        files.update((str(path.relative_to(HEADERS)), path) for path in HEADERS.rglob(f"*.{ending}"))
    for name, path in sorted(files.items()):
        found.update(f"{name} {path.stat().st_size}\n".encode() + path.read_bytes())
    return found.hexdigest()


def load(folder: Path, name: str) -> ModuleType:
    """Import a module that build() made."""
    (path,) = folder.glob(f"{name}.*.so")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
