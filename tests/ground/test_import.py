"""Importing pysidctx: each module alone, one libssl, and the errors where it cannot work."""

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from machine import SUPPORT, lack
from prepared import prepared

import pysidctx

PACKAGE = Path(pysidctx.__file__).parent
MODULES = sorted({
    ".".join((*path.relative_to(PACKAGE.parent).parent.parts, path.name.partition(".")[0]))
    for pattern in ("*.so", "*.py")
    for path in PACKAGE.rglob(pattern)
    if path.name not in ("__init__.py", "__main__.py")
})


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60,
        env=dict(os.environ, **environment), cwd="/",
    )


@pytest.fixture(scope="module")
def importing():
    """Python imports the package before any module of it; so one process does that for all of them."""
    with prepared("import pysidctx", "-W", "error") as run:
        yield run


@pytest.mark.parametrize("module", MODULES)
def test_each_module_imports_alone(module, importing):
    ran = importing(f"import {module}")
    other = re.search(r"^ModuleNotFoundError: No module named '((?!pysidctx)\w+)", ran.stderr, re.MULTILINE)
    if other:
        lack(f"the module {other[1]} is missing: install it from PyPI")
    assert (ran.returncode, ran.stderr) == (0, "")


def test_the_package_imports():
    ran = python("import pysidctx")
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
