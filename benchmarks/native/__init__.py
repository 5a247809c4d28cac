"""Compiles the benchmarks that are not Python, once, and imports them."""

import importlib
import os
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
COUNTS = Path("/usr/include/valgrind/callgrind.h").exists()


def folder(flags: str) -> Path:
    """Where the modules are, by what decides how they are compiled: Python, valgrind's header, and CFLAGS."""
    name = sys.implementation.cache_tag + COUNTS * "-counts"
    return HERE.parent.parent / "build" / "benchmarks" / "-".join((name, *re.findall(r"\w+", flags)))


BUILT = folder(os.environ.get("CFLAGS", ""))
# These differ in how they call OpenSSL: in the macros that openssl_api.h goes by.
BINDINGS = {"openssl_direct": (), "openssl_linked": ("PYSIDCTX_TABLE", "PYSIDCTX_LINKED"),
            "openssl_late": ("PYSIDCTX_TABLE",)}
# As pysidctx is compiled; and where a loop happens to lie in memory must not count.
FLAGS_OF_BINDINGS = ["-fno-plt", "-falign-functions=64", "-falign-loops=64"]
MODULES = {"call_c": "call_c.c", "call_cython": "call_cython.pyx",
           "hostmap_cython": "hostmap_cython.pyx", "session_c": "session_c.c",
           "load_cython": "load_cython.pyx", "handshake_cython": "handshake_cython.pyx",
           "cache_cython": "cache_cython.pyx",
           **{name: f"{name}.pyx" for name in BINDINGS}}


@cache
def build() -> None:
    """Compile the modules that are older than their sources. What was translated before, CYTHON_CACHE_DIR may have."""
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension

    import pysidctx

    package = Path(pysidctx.__file__).resolve().parent
    extensions = cythonize(
        [Extension(name, [str(HERE / source)],
                   include_dirs=[pysidctx.get_include(), str(package), str(HERE)],
                   define_macros=[(macro, "1") for macro in BINDINGS.get(name, ())],
                   extra_compile_args=["-g0", *(FLAGS_OF_BINDINGS if name in BINDINGS else [])],
                   libraries=[] if name == "openssl_late" else ["ssl", "crypto"],
                   depends=[str(path) for ending in ("h", "pxi") for path in sorted(HERE.glob(f"*.{ending}"))])
         for name, source in MODULES.items()],
        build_dir=str(BUILT / "c"), include_path=[str(package.parent)], cache="CYTHON_CACHE_DIR" in os.environ,
        compiler_directives={"language_level": 3}, quiet=True,
    )
    command = Distribution({"name": "benchmarks", "ext_modules": extensions}).get_command_obj(
        "build_ext")
    command.build_lib, command.build_temp = str(BUILT), str(BUILT / "temp")
    command.ensure_finalized()
    command.run()
    build_cffi()


def build_cffi() -> None:
    from cffi import FFI

    builder = FFI()
    builder.cdef("typedef struct ssl_ctx_st SSL_CTX;"
                 "int SSL_CTX_set_session_id_context(SSL_CTX *, const unsigned char *, unsigned);")
    builder.set_source("call_cffi", "#include <openssl/ssl.h>", libraries=["ssl"], extra_compile_args=["-g0"])
    builder.compile(str(BUILT))


def load(name: str) -> ModuleType:
    if str(BUILT) not in sys.path:
        sys.path.insert(0, str(BUILT))
    return importlib.import_module(name)
