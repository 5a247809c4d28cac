"""Builds the Cython modules, linked with the OpenSSL that the interpreter's ssl module uses, or with none.

PYSIDCTX_BINDING=late asks for the second: such a build needs neither OpenSSL's headers nor its libraries, and finds the
functions when it is imported.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.errors import CompileError, LinkError

LIBRARIES = ["ssl", "crypto"]
HEADERS = [str(path) for folder in ("include", "pysidctx") for path in sorted(Path(folder).rglob("*.h"))]

# What is looked for, and the packages of Debian and Ubuntu, Fedora and Alpine that have it.
COMPILER = "a C compiler", "gcc", "gcc", "build-base"
PYTHON = "Python's header Python.h", "python3-dev", "python3-devel", "python3-dev"
OPENSSL = "OpenSSL's header openssl/ssl.h", "libssl-dev", "openssl-devel", "openssl-dev"
LIBSSL = "OpenSSL's library libssl", "libssl-dev", "openssl-devel", "openssl-dev"

BINDING = os.environ.get("PYSIDCTX_BINDING", "linked")
if BINDING not in ("linked", "late"):
    raise SystemExit(f"The environment variable PYSIDCTX_BINDING is {BINDING!r}: it can be linked (with OpenSSL, the "
                     "default) or late (OpenSSL is found when pysidctx is imported).")
LATE = BINDING == "late"

NAMED = os.environ.get("PYSIDCTX_OPENSSL_DIR")
if NAMED == "":
    raise SystemExit("The environment variable PYSIDCTX_OPENSSL_DIR is empty: name the folder of an OpenSSL in it, or "
                     "remove it.")
if NAMED and LATE:
    raise SystemExit("The environment variable PYSIDCTX_OPENSSL_DIR names an OpenSSL to link with, and "
                     "PYSIDCTX_BINDING=late asks for a build that is linked with none: remove one of them.")


def missing(what: str, debian: str, fedora: str, alpine: str) -> SystemExit:
    sentence = (f"pysidctx cannot be built without {what}: install it ({debian} on Debian and "
                f"Ubuntu, {fedora} on Fedora, {alpine} on Alpine)")
    if "OpenSSL" in what:
        sentence += (f"; PYSIDCTX_OPENSSL_DIR names {NAMED}" if NAMED
                     else ", name the folder of an OpenSSL in PYSIDCTX_OPENSSL_DIR, or build without OpenSSL, which is "
                          "then found at import, with PYSIDCTX_BINDING=late")
    return SystemExit(sentence + ".")


def differing(said: str) -> SystemExit:
    """By what the compiler says of openssl_check.h."""
    names = re.findall(r"error: .*OpenSSL declares otherwise: (\w+)"
                       r"|error: '(\w+)' undeclared"
                       r"|error: .*undeclared identifier '(\w+)'", said)
    differ = list(dict.fromkeys("".join(found) for found in names))
    if differ:
        rest = f" and {len(differ) - 5} more" if len(differ) > 5 else ""
        what = f"declare {', '.join(differ[:5])}{rest} in another way than pysidctx knows, or not at all"
    else:
        errors = re.findall(r"error: (.*)", said) or ["it says nothing"]
        what = f"do not compile: {errors[0]}"
    named = f" in {NAMED}" if NAMED else ""
    remove = ", after you remove PYSIDCTX_OPENSSL_DIR" if NAMED else ""
    return SystemExit(f"pysidctx cannot be built with these headers of OpenSSL{named}: they {what}. Please report it. "
                      f"PYSIDCTX_BINDING=late builds pysidctx without them{remove}; OpenSSL is then found at import.")


def openssl_folders() -> tuple[list[str], list[str], list[str]]:
    """Folders for headers and for libraries, and those where programs are to look for them."""
    prefix = Path(NAMED or sys.base_prefix).absolute()
    headers = (prefix / "include/openssl/ssl.h").exists()
    libraries = [str(folder) for folder in library_folders(prefix) if any(folder.glob("libssl.*"))]
    # Headers of one OpenSSL with the library of another would only fail later, and worse.
    if headers and libraries and (NAMED or prefix != Path("/usr")):
        return [str(prefix / "include")], libraries, libraries
    if NAMED:
        raise missing(*(LIBSSL if headers else OPENSSL))
    return pkg_config("--cflags-only-I", "-I"), pkg_config("--libs-only-L", "-L"), []


def library_folders(prefix: Path) -> list[Path]:
    names = ["lib64", "lib"]
    if sysconfig.get_config_var("MULTIARCH"):
        names.append("lib/" + sysconfig.get_config_var("MULTIARCH"))
    return [prefix / name for name in names]


def pkg_config(query: str, flag: str) -> list[str]:
    program = os.environ.get("PKG_CONFIG", "pkg-config")
    if not shutil.which(program):
        return []
    answer = subprocess.run([program, query, "openssl"], capture_output=True, text=True)
    return [word[len(flag):] for word in shlex.split(answer.stdout) if word.startswith(flag)]


class BuildExtensions(build_ext):
    """Finds OpenSSL first, and says in one sentence what is missing."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self) -> None:
        self.compiler.include_dirs = ["include", "pysidctx"] + self.compiler.include_dirs
        self.require("int main(void) { return 0; }", COMPILER)
        self.require("#include <Python.h>\nint main(void) { return 0; }", PYTHON)
        runtime = [] if LATE else self.find_openssl()
        if LATE:
            print("pysidctx is built without OpenSSL (PYSIDCTX_BINDING=late): it finds the interpreter's when it is "
                  "imported.", file=sys.stderr)
        # Calls without the detour through the procedure linkage table: ours are short enough for
        # it to count.
        no_detour = self.builds("int main(void) { return 0; }", "-Werror", "-fno-plt")
        flags = ["-fno-plt"] if no_detour else []
        flags += debug_flags()
        for extension, translated in zip(self.extensions, translate(self.extensions)):
            extension.sources, extension.depends = translated.sources, translated.depends
            if extension.name == "pysidctx.binding":
                extension.depends = [*extension.depends, recorded_binding()]
            extension.extra_compile_args += flags
            extension.runtime_library_dirs += runtime
        super().build_extensions()

    def find_openssl(self) -> list[str]:
        """Prepare the compiler for OpenSSL; the folders where programs are to look for its libraries."""
        include, libraries, runtime = openssl_folders()
        self.compiler.include_dirs = include + self.compiler.include_dirs
        self.compiler.library_dirs = libraries + self.compiler.library_dirs
        self.require("#include <openssl/ssl.h>\nint main(void) { return 0; }", OPENSSL)
        self.require_declarations()
        self.require("#include <openssl/ssl.h>\nint main(void) { return SSL_new(0) != 0; }",
                     LIBSSL, link=True)
        return runtime

    def require_declarations(self) -> None:
        """That OpenSSL's headers declare what pysidctx calls as include/openssl_api.h does."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "probe.c")
            path.write_text("#include <openssl_check.h>\n")
            ran = subprocess.run([*self.compiler.compiler_so, *(f"-I{name}" for name in self.compiler.include_dirs),
                                  "-c", str(path), "-o", f"{path}.o"],
                                 stderr=subprocess.PIPE, text=True, env=dict(os.environ, LC_ALL="C"))
        if ran.returncode:
            print(ran.stderr, file=sys.stderr)
            needed = re.search(r'"pysidctx needs (OpenSSL .*)"', ran.stderr)
            raise missing(needed[1], *OPENSSL[1:]) if needed else differing(ran.stderr)

    def require(self, source: str, what: tuple[str, str, str, str], link: bool = False) -> None:
        if not self.builds(source, link=link):
            raise missing(*what)

    def builds(self, source: str, *flags: str, link: bool = False) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "probe.c")
            path.write_text(source + "\n")
            try:
                # Below "/", which leaves the object beside its source.
                objects = self.compiler.compile([str(path)], output_dir="/", extra_preargs=[*flags])
                if link:
                    self.compiler.link_executable(objects, str(Path(folder, "probe")),
                                                  libraries=LIBRARIES)
            except (CompileError, LinkError):
                return False
        return True


def debug_flags() -> list[str]:
    """No information for debuggers, which Python's own flags ask for: it is most of a module. CFLAGS may ask for it."""
    asked = any(word.startswith("-g") for word in shlex.split(os.environ.get("CFLAGS", "")))
    return [] if asked else ["-g0"]


def recorded_binding() -> str:
    """A file that changes with the OpenSSL that the module is to be linked with, so that it is then built again."""
    path = Path("build", "binding")
    binding = f"{BINDING} {NAMED}\n"
    if not path.exists() or path.read_text() != binding:
        path.parent.mkdir(exist_ok=True)
        path.write_text(binding)
    return str(path)


def translate(extensions: Sequence[Extension]) -> list[Extension]:
    """Into C; where CYTHON_CACHE_DIR names a folder, what was translated before is taken from there."""
    translated: list[Extension] = cythonize(
        extensions, build_dir="build/cython", cache="CYTHON_CACHE_DIR" in os.environ,
        compiler_directives={"language_level": 3, "freethreading_compatible": True})
    return translated


def extension_of(path: Path) -> Extension:
    """The module of a .pyx. One is linked with OpenSSL, for all: it hands the functions to the others."""
    linked = path.stem == "binding" and not LATE
    return Extension(".".join(path.with_suffix("").parts), [str(path)], depends=HEADERS,
                     libraries=LIBRARIES if linked else [],
                     define_macros=[("PYSIDCTX_TABLE", "1"), *([("PYSIDCTX_LINKED", "1")] if linked else [])])


class BuildPython(build_py):
    """Copies the C headers into the package, where get_include() finds them."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "pysidctx", "include")
            self.mkpath(str(target))
            for header in sorted(Path("include").glob("*.h")):
                self.copy_file(str(header), str(target))


setup(
    ext_modules=[extension_of(path) for path in sorted(Path("pysidctx").rglob("*.pyx"))],
    cmdclass={"build_ext": BuildExtensions, "build_py": BuildPython},
)
