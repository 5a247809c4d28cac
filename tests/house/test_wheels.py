"""`.ci/wheels`: which wheels it refuses, and what it says. The wheels are small and false; none is built with zig."""

import platform
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from machine import ROOT, lack, module, program

pytestmark = pytest.mark.source

WHEEL = "pysidctx-0.1.0-cp313-cp313-manylinux_2_17_x86_64.whl"
MUSL_WHEEL = "pysidctx-0.1.0-cp313-cp313-musllinux_1_2_x86_64.whl"
SUFFIX = ".cpython-313-x86_64-linux-gnu.so"
HARMLESS = "extern void *PyLong_FromLong(long); void *f(void) { return PyLong_FromLong(1); }"
MODULES = [str(path.relative_to(ROOT).with_suffix("")) for path in sorted((ROOT / "pysidctx").rglob("*.pyx"))]
FILES = [str(path.relative_to(ROOT)) for kind in ("*.py", "*.pyi", "*.pxd", "*.h", "py.typed")
         for path in sorted((ROOT / "pysidctx").rglob(kind))]
FILES += [f"pysidctx/{path.relative_to(ROOT)}" for path in sorted((ROOT / "include").glob("*.h"))]


def wheels(*arguments):
    module("elftools", "auditwheel from PyPI, in pysidctx[test]")
    return subprocess.run([sys.executable, ROOT / ".ci" / "wheels", *arguments], capture_output=True, text=True)


@pytest.fixture(scope="module")
def check():
    """Checks a wheel as the program does, in this process; returns its error, if any."""
    module("elftools", "auditwheel from PyPI, in pysidctx[test]")
    accept = runpy.run_path(str(ROOT / ".ci" / "wheels"))["accept"]

    def check(wheel):
        try:
            accept(wheel)
        except SystemExit as error:
            return error.code
        return None

    return check


def compiled(path, source, *flags):
    """A shared library."""
    path.with_suffix(".c").write_text(source + "\n")
    subprocess.run([program("cc", "gcc"), "-shared", "-fPIC", "-o", path, path.with_suffix(".c"), *flags], check=True)
    return path


@pytest.fixture(scope="module")
def harmless(tmp_path_factory):
    """Libraries that need nothing, one of them not even libc, by whether they need that."""
    folder = tmp_path_factory.mktemp("harmless")
    return {True: compiled(folder / "libc.so", HARMLESS), False: compiled(folder / "none.so", HARMLESS, "-nostdlib")}


@pytest.fixture
def library(tmp_path):
    """Compiles a shared library; its path."""
    return lambda name, source, *flags: compiled(tmp_path / name, source, *flags)


@pytest.fixture
def refused(tmp_path, library, harmless, check, capsys):
    """Checks a wheel with one module compiled from another source, or without a file; returns the error, if any."""

    def refused(source=HARMLESS, *flags, without=None, name=WHEEL, padding=0, suffix=SUFFIX):
        # By this function auditwheel knows an extension module.
        odd = library("odd.so", f"{source}\nvoid *PyInit_{Path(MODULES[0]).name}(void) {{ return 0; }}", *flags)
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for path in set(FILES) - {without}:
                archive.writestr(path, "")
            for path in set(MODULES) - {without}:
                archive.write(odd if path == MODULES[0] else harmless[name != MUSL_WHEEL], f"{path}{suffix}")
            archive.writestr("pysidctx-0.1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: cp313-cp313-linux_x86_64\n")
            archive.writestr("padding", "x" * padding)
            record = "".join(f"{packed},,\n" for packed in archive.namelist())
            archive.writestr("pysidctx-0.1.0.dist-info/RECORD", record)
        said = check(tmp_path / name)
        if said is None:
            told = capsys.readouterr().out
            assert told.startswith(f"{name}: ") and ("untried" in told) == (name == MUSL_WHEEL)
            return None
        assert said.startswith(f"{name}: ") and "\n" not in said
        return said

    return refused


def on_x86_64():
    if platform.machine() != "x86_64":
        lack("this takes a compiler for x86_64")


def test_a_sound_wheel_is_accepted(refused):
    on_x86_64()
    assert refused("#include <stdlib.h>\nvoid *f(void) { return malloc(1); }") is None


@pytest.mark.parametrize("name", ["SSL_new", "CRYPTO_free", "deflate"])
def test_an_undefined_symbol_of_another_library(name, refused):
    said = refused(f"extern int {name}(void); int f(void) {{ return {name}(); }}")
    assert f"{MODULES[0]}.cpython" in said and f"needs the symbol {name}," in said and "PYSIDCTX_BINDING=late" in said


def test_a_needed_library_that_is_not_libc(refused, library):
    foreign = library("libforeign.so.3", "int foreign(void) { return 1; }", "-Wl,-soname,libforeign.so.3")
    assert "needs the library libforeign.so.3, which" in refused(HARMLESS, "-Wl,--no-as-needed", foreign)


@pytest.mark.parametrize("kind", ["-Wl,--enable-new-dtags", "-Wl,--disable-new-dtags"])
def test_a_folder_to_find_libraries_in(kind, refused):
    assert "names a folder of this machine" in refused(HARMLESS, kind, "-Wl,-rpath,/opt/openssl/lib")


@pytest.mark.parametrize("file", ["pysidctx/binding.pyi", "pysidctx/libssl.pxd", "pysidctx/include/pysidctx.h",
                                  "pysidctx/py.typed", "pysidctx/__main__.py", "pysidctx/hosts/table.h"])
def test_a_file_that_is_missing(file, refused):
    assert file in FILES
    assert refused(without=file).endswith(f"it lacks {file}")


def test_a_module_that_is_missing(refused):
    assert refused(without="pysidctx/hosts/router").endswith("it lacks the module of pysidctx/hosts/router.pyx")


def test_a_wheel_that_is_too_large(refused):
    assert "should have less than 2000000" in refused(padding=2_000_000)


def test_a_wheel_whose_name_promises_less(refused):
    said = refused(name=WHEEL.replace("manylinux_2_17", "linux"))
    assert "its name says neither manylinux_2_17 nor musllinux_1_2" in said


def test_a_symbol_of_a_newer_glibc(refused):
    on_x86_64()
    version = platform.libc_ver()[1]
    if tuple(map(int, version.split("."))) < (2, 34):
        lack(f"glibc is {version}: from 2.34 on, dlopen is a new symbol of libc")
    said = refused("#include <dlfcn.h>\nvoid *f(void) { return dlopen(0, 2); }")
    assert "auditwheel does not find it fit for manylinux_2_17" in said


@pytest.fixture
def refused_on_musl(refused, library):
    """The same for a wheel on musl, whose functions have no versions."""
    on_x86_64()

    def refused_on_musl(source, *flags):
        names = "malloc", "qsort_r", "SSL_new"
        libc = library("libc.musl.so", "".join(f"void *{name}(void) {{ return 0; }}\n" for name in names), "-nostdlib",
                       "-fno-builtin", "-Wl,-soname,libc.musl-x86_64.so.1")
        return refused(source, "-nostdlib", "-fno-builtin", *flags, libc, name=MUSL_WHEEL, suffix=".so")

    return refused_on_musl


def test_a_sound_wheel_for_musl_is_accepted_and_named_untried(refused_on_musl):
    assert refused_on_musl("extern void *malloc(unsigned long); void *f(void) { return malloc(1); }") is None


@pytest.mark.parametrize("name", ["SSL_new", "qsort_r"])
def test_an_undefined_symbol_of_another_library_or_a_newer_musl(name, refused_on_musl):
    said = refused_on_musl(f"extern int {name}(void); int f(void) {{ return {name}(); }}")
    assert f"needs the symbol {name}, which is neither Python's nor libc's, as far as IN_MUSL lists them" in said


def test_a_wheel_for_musl_that_needs_glibc(refused_on_musl, library):
    glibc = library("libc.so.6", "int f(void) { return 1; }", "-nostdlib", "-Wl,-soname,libc.so.6")
    assert "needs the library libc.so.6, which is not libc's on musllinux_1_2" in refused_on_musl(
        HARMLESS, "-Wl,--no-as-needed", glibc)


def test_a_wheel_for_glibc_that_needs_musl(refused, library):
    musl = library("libc.musl.so", "int f(void) { return 1; }", "-nostdlib", "-Wl,-soname,libc.musl-x86_64.so.1")
    assert "needs the library libc.musl-x86_64.so.1, which is not libc's on manylinux_2_17" in refused(
        HARMLESS, "-Wl,--no-as-needed", musl)


def test_the_program_ends_in_1_for_a_wheel_that_it_refuses(tmp_path):
    with zipfile.ZipFile(tmp_path / WHEEL, "w"):
        pass
    ran = wheels("--check", tmp_path / WHEEL)
    assert (ran.returncode, ran.stdout) == (1, "")
    (said,) = ran.stderr.splitlines()
    assert said.startswith(f"{WHEEL}: it lacks ")


def test_no_wheel_for_musl_is_made_unasked():
    said = wheels("--help").stdout
    assert "--musl" in said and "musllinux_1_2 instead, which are untried: no Python on musl" in " ".join(said.split())


@pytest.mark.parametrize("command", ["/no/python", "/bin/true"])
def test_an_interpreter_that_does_not_run(command):
    ran = wheels("--only", command)
    assert ran.returncode == 1 and ran.stderr.startswith(f"{command} does not run: ")


def test_no_interpreter():
    ran = wheels("--only")
    assert (ran.returncode, ran.stderr) == (1, "no CPython from 3.9 on was found with its headers\n")
