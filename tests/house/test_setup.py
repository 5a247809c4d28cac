"""`setup.py`: which OpenSSL it builds against, and what it says where something is missing."""

import os
import re
import runpy
import subprocess
import sys
import sysconfig
from pathlib import Path

import Cython.Build
import pytest
import setuptools
from machine import ROOT, UNOPTIMIZED

pytestmark = pytest.mark.timeout(900)  # whole builds


def setup(*arguments, **options):
    return subprocess.run([sys.executable, "setup.py", *arguments], capture_output=True, text=True,
                          **options)


def output(*command, **options):
    ran = subprocess.run(command, capture_output=True, text=True, **options)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def openssl(folder, *libraries):
    """A folder laid out as OpenSSL installs itself."""
    for name in ("include/openssl/ssl.h", *libraries):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def flags(folder, library="lib"):
    """What is to be found in such a folder."""
    return [str(folder / "include")], [str(folder / library)], [str(folder / library)]


@pytest.fixture
def found(monkeypatch, tmp_path):
    """What setup.py finds, with places to look in by name."""
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
    ({"PYSIDCTX_BINDING": "early"}, "PYSIDCTX_BINDING is 'early': it can be linked (with OpenSSL, the default)"),
    ({"PYSIDCTX_BINDING": "late", "PYSIDCTX_OPENSSL_DIR": "/opt/openssl"}, "linked with none: remove one of them"),
    ({"PYSIDCTX_OPENSSL_DIR": ""}, "PYSIDCTX_OPENSSL_DIR is empty"),
])
def test_settings_that_cannot_be_met_are_refused(variables, sentence):
    ran = setup("--version", cwd=ROOT, env=dict(os.environ, **variables))
    assert ran.returncode == 1
    assert sentence in ran.stderr.splitlines()[-1]


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
def test_what_is_missing_is_named_in_one_sentence(compiler, copy_source, tmp_path, word, sentence):
    tree = copy_source(tmp_path / "tree")
    ran = setup("build_ext", cwd=tree, env=dict(os.environ, CC=compiler(word)))
    assert ran.returncode == 1
    assert sentence in ran.stderr.splitlines()[-1]
    assert "Traceback" not in ran.stderr


def test_a_named_folder_is_built_against(copy_source, tmp_path):
    """A folder of links to the system's OpenSSL."""
    tree = copy_source(tmp_path / "tree")
    named = tmp_path / "openssl"
    (named / "lib").mkdir(parents=True)
    preprocessed = output("cc", "-E", "-", input="#include <openssl/ssl.h>\n")
    (header,) = set(re.findall(r'"(.*)/openssl/ssl\.h"', preprocessed))
    (named / "include").symlink_to(header)
    for name in ("libssl.so", "libcrypto.so"):
        path = output("cc", f"-print-file-name={name}").strip()
        (named / "lib" / name).symlink_to(Path(path).resolve())
    ran = setup("build_ext", "--inplace", cwd=tree,
                env=dict(UNOPTIMIZED, PYSIDCTX_OPENSSL_DIR=str(named)))
    assert ran.returncode == 0, ran.stderr
    assert f"-L{named}/lib" in ran.stdout
    code = "import pysidctx; print(pysidctx.__path__[0])"
    assert output(sys.executable, "-c", code, cwd=tree).strip() == str(tree / "pysidctx")
