"""`setup.py`: which OpenSSL it builds against, or none, and what it says where something is missing."""

import os
import re
import runpy
import shutil
import ssl
import sys
import sysconfig
from pathlib import Path

import Cython.Build
import pytest
import setuptools
from builds import keep_modules, output, setup
from machine import BUILDING, ROOT
from prepared import prepared

pytestmark = [pytest.mark.timeout(900), pytest.mark.source]  # whole builds


@pytest.fixture(scope="module")
def building():
    with prepared("import runpy; import Cython.Build, setuptools.command.build_ext", seconds=600) as run:
        yield run


@pytest.fixture
def refused(building):
    """What setup.py says as it refuses to build a tree in an environment."""

    def refused(tree, **environment):
        ran = building("sys.argv = ['setup.py', 'build_ext']; runpy.run_path('setup.py', run_name='__main__')", tree,
                       {**os.environ, **environment})
        assert ran.returncode == 1 and "Traceback" not in ran.stderr, ran.stderr
        return ran.stderr

    return refused


def openssl(folder, *libraries):
    """A folder laid out as OpenSSL installs itself."""
    for name in ("include/openssl/ssl.h", *libraries):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def flags(folder, library="lib"):
    """What setup.py is to find in such a folder."""
    return [str(folder / "include")], [str(folder / library)], [str(folder / library)]


@pytest.fixture
def found(monkeypatch, tmp_path):
    """Runs setup.py's search for OpenSSL, with the given places to search."""
    pkg_config = tmp_path / "pkg-config"
    pkg_config.write_text("#!/bin/sh\n"
                          "case $1 in --cflags*) echo '-I/told/include';; *) echo '-L/told/lib';; esac\n")
    pkg_config.chmod(0o755)

    def find(*, named=None, prefix=tmp_path, pkg_config=pkg_config):
        monkeypatch.setattr(setuptools, "setup", lambda **given: None)
        monkeypatch.setattr(Cython.Build, "cythonize", lambda *given, **options: [])
        monkeypatch.setattr(sys, "base_prefix", str(prefix))
        monkeypatch.setenv("PKG_CONFIG", str(pkg_config))
        if named is None:
            monkeypatch.delenv("PYSIDCTX_OPENSSL_DIR", raising=False)
        else:
            monkeypatch.setenv("PYSIDCTX_OPENSSL_DIR", str(named))
        monkeypatch.delenv("PYSIDCTX_BINDING", raising=False)
        return runpy.run_path(str(ROOT / "setup.py"))["openssl_folders"]()

    return find


def test_a_named_folder_comes_first(found, tmp_path):
    named = openssl(tmp_path / "named", "lib/libssl.so")
    prefix = openssl(tmp_path / "conda", "lib/libssl.so")
    assert found(named=named, prefix=prefix) == flags(named)


def test_then_the_interpreter_s_own_prefix(found, tmp_path):
    prefix = openssl(tmp_path / "conda", "lib/libssl.so")
    assert found(prefix=prefix) == flags(prefix)


@pytest.mark.parametrize("library", ["lib64", "lib", "multiarch"])
def test_libraries_are_found_where_distributions_put_them(found, tmp_path, library):
    if library == "multiarch":
        if not sysconfig.get_config_var("MULTIARCH"):
            pytest.skip("this Python names no multiarch folder")
        library = "lib/" + sysconfig.get_config_var("MULTIARCH")
    (tmp_path / "openssl" / "lib").mkdir(parents=True)  # empty, or of other libraries
    named = openssl(tmp_path / "openssl", f"{library}/libssl.so")
    assert found(named=named) == flags(named, library)


def test_then_what_pkg_config_says(found):
    assert found() == (["/told/include"], ["/told/lib"], [])


def test_a_prefix_with_headers_alone_is_passed_over(found, tmp_path):
    assert found(prefix=openssl(tmp_path / "conda")) == (["/told/include"], ["/told/lib"], [])


def test_at_last_the_compiler_s_defaults(found, tmp_path):
    assert found(pkg_config=tmp_path / "missing") == ([], [], [])
    (tmp_path / "empty-handed").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "empty-handed").chmod(0o755)
    assert found(pkg_config=tmp_path / "empty-handed") == ([], [], [])


def test_a_named_folder_is_never_passed_over(found, tmp_path):
    prefix = openssl(tmp_path / "conda", "lib/libssl.so")
    with pytest.raises(SystemExit, match=rf"header openssl/ssl\.h: .* names {tmp_path}/none\."):
        found(named=tmp_path / "none", prefix=prefix)
    named = openssl(tmp_path / "headers")
    with pytest.raises(SystemExit, match=rf"library libssl: .* names {named}\."):
        found(named=named, prefix=prefix)


@pytest.mark.parametrize("variables, sentence", [
    ({"PYSIDCTX_BINDING": "Late"}, "PYSIDCTX_BINDING is 'Late': it can be linked (with OpenSSL, the default) or late"),
    ({"PYSIDCTX_BINDING": ""}, "PYSIDCTX_BINDING is '': it can be linked"),
    ({"PYSIDCTX_BINDING": "late", "PYSIDCTX_OPENSSL_DIR": "/opt/openssl"}, "linked with none: remove one of them"),
    ({"PYSIDCTX_OPENSSL_DIR": ""}, "PYSIDCTX_OPENSSL_DIR is empty"),
])
def test_settings_that_cannot_be_met_are_refused(variables, sentence):
    ran = setup("--version", cwd=ROOT, env=dict(os.environ, **variables))
    assert ran.returncode == 1
    assert sentence in ran.stderr.splitlines()[-1] and "Traceback" not in ran.stderr


@pytest.fixture
def compiler(tmp_path):
    """Makes a C compiler that fails for sources with a word in them, as where that is missing."""

    def make(word):
        path = tmp_path / "cc"
        path.write_text(f"""#!/bin/sh
for word in "$@"; do
    case $word in *.c) if grep -q '{word}' "$word"; then echo "no {word}" >&2; exit 1; fi;; esac
done
exec gcc "$@"
""")
        path.chmod(0o755)
        return str(path)

    return make


@pytest.mark.parametrize("word, sentence", [
    ("int main", "without a C compiler: install it (gcc on Debian"),
    ("Python.h", "without Python's header Python.h: install it (python3-dev on Debian"),
    ("openssl/ssl.h", "without OpenSSL's header openssl/ssl.h: install it (libssl-dev on Debian"),
    ("SSL_new", "without OpenSSL's library libssl: install it (libssl-dev on Debian"),
])
def test_what_is_missing_is_named_in_one_sentence(refused, compiler, copy_source, tmp_path, word, sentence):
    said = refused(copy_source(tmp_path / "tree"), CC=compiler(word))
    assert sentence in said.splitlines()[-1]
    assert ("PYSIDCTX_BINDING=late" in said) == ("OpenSSL" in sentence)


FOLDER = "library libssl: install it"
ITSELF = "without OpenSSL 1.1.1 or later, itself: install it"
OPTIONS = "without OpenSSL 3.0 or later, where a long has 32 bits: install it"
VERSION_1_1_1 = "#undef OPENSSL_VERSION_NUMBER\n#define OPENSSL_VERSION_NUMBER 0x1010117fL\n"
SHORT_LONG = "#undef __SIZEOF_LONG__\n#define __SIZEOF_LONG__ 4\n"


@pytest.fixture
def built_with(refused, copy_source, tmp_path):
    """The last line of setup.py's errors when one of the system's headers is changed, and no library can be linked."""

    def built_with(header, pattern="$", replacement="", *, also=""):
        tree = copy_source(tmp_path / "tree")
        named = openssl(tmp_path / "named", "lib/libssl.so")
        preprocessed = output("cc", "-E", "-", input="#include <openssl/ssl.h>\n")
        (folder,) = set(re.findall(r'"(.*)/openssl/ssl\.h"', preprocessed))
        for name in ("ssl", header):
            shutil.copy(Path(folder, "openssl", f"{name}.h"), named / "include/openssl")
        path = named / f"include/openssl/{header}.h"
        changed, count = re.subn(pattern, replacement, path.read_text(), flags=re.MULTILINE)
        assert count
        path.write_text(f"{changed}\n{also}\n")
        return refused(tree, PYSIDCTX_OPENSSL_DIR=str(named)).splitlines()[-1], named

    return built_with


@pytest.mark.parametrize("macros, sentence", [
    ("", FOLDER),  # so that it is the macros that are refused
    ("#undef OPENSSL_VERSION_NUMBER\n#define OPENSSL_VERSION_NUMBER 0x1010007fL", ITSELF),
    ("#define LIBRESSL_VERSION_NUMBER 0x4000000fL", ITSELF),
    ("#define OPENSSL_IS_AWSLC", ITSELF),
    ("#define OPENSSL_IS_BORINGSSL", ITSELF),
    (SHORT_LONG, FOLDER if ssl.OPENSSL_VERSION_INFO >= (3,) else OPTIONS),
    (SHORT_LONG + VERSION_1_1_1, OPTIONS),
], ids=["OpenSSL", "too old", "LibreSSL", "AWS-LC", "BoringSSL", "32 bits", "1.1.1 with 32 bits"])
def test_headers_of_another_library_are_refused(built_with, macros, sentence):
    said, named = built_with("opensslv", also=macros)
    assert sentence in said and f"names {named}." in said


@pytest.mark.parametrize("header, pattern, replacement, what", [
    ("ssl", r"(define +SSL_VERIFY_PEER +)\w+", r"\g<1>0x80", "declare SSL_VERIFY_PEER in another way"),
    ("ssl", "SSL_VERIFY_PEER", "SSL_VERIFY_IT", "declare SSL_VERIFY_PEER in another way"),
    ("ssl", r"\bSSL_version\(", "SSL_the_version(", "declare SSL_version in another way"),
    ("ssl", r"\bint (SSL_version|SSL_is_server)\(", r"long \1(", "declare SSL_is_server, SSL_version in another way"),
    ("ssl", r"\bint SSL_(session_reused|in_before|is_init_finished|is_server|version|get_verify_mode)\(",
     r"long SSL_\1(",
     "declare SSL_session_reused, SSL_in_before, SSL_is_init_finished, SSL_is_server, SSL_version and 1 more in"),
    ("pem", '"SSL SESSION PARAMETERS"', '"SSL SESSION"', "declare PEM_STRING_SSL_SESSION in another way"),
    ("kdf", r"\A", "#error incomplete\n", "do not compile: #error incomplete"),
], ids=["value", "gone", "function gone", "prototypes", "many", "text", "broken"])
def test_headers_that_declare_something_else_are_told_from_those_of_another_version(built_with, header, pattern,
                                                                                    replacement, what):
    said, named = built_with(header, pattern, replacement)
    assert said.startswith(f"pysidctx cannot be built with these headers of OpenSSL in {named}: they {what}")
    assert "Please report it." in said and "PYSIDCTX_BINDING=late" in said and "remove PYSIDCTX_OPENSSL_DIR" in said


def test_a_named_folder_is_built_against(copy_source, tmp_path):
    """A folder of links to the system's OpenSSL; the first modules stand for all."""
    tree = copy_source(tmp_path / "tree")
    keep_modules(tree, "binding", "errors", "handles")
    (tree / "pysidctx" / "__init__.py").write_text("import ssl\n__version__ = '0'\n")
    named = tmp_path / "openssl"
    (named / "lib").mkdir(parents=True)
    preprocessed = output("cc", "-E", "-", input="#include <openssl/ssl.h>\n")
    (header,) = set(re.findall(r'"(.*)/openssl/ssl\.h"', preprocessed))
    (named / "include").symlink_to(header)
    for name in ("libssl.so", "libcrypto.so"):
        path = output("cc", f"-print-file-name={name}").strip()
        (named / "lib" / name).symlink_to(Path(path).resolve())
    ran = setup("build_ext", "--inplace", cwd=tree,
                env=dict(BUILDING, PYSIDCTX_OPENSSL_DIR=str(named)))
    assert ran.returncode == 0, ran.stderr
    assert f"-L{named}/lib" in ran.stdout
    code = "from pysidctx import handles; print(handles.__file__)"
    assert Path(output(sys.executable, "-c", code, cwd=tree).strip()).parent == tree / "pysidctx"
