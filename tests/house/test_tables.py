"""Each module that calls OpenSSL has its table of functions filled first: bind_openssl() is its first statement."""

import re
from functools import cache

import pytest
from floors import TEXTS
from machine import ROOT

pytestmark = [pytest.mark.one_python, pytest.mark.source]

DECLARING = ("pysidctx.libssl", "pysidctx.openssl_compat")
CIMPORT = re.compile(r"^from ([\w.]+) cimport (\([^)]*\)|.*)$", re.MULTILINE)
# What may stand before it: what declares, and what imports.
BEFORE = re.compile(r"(?:from [\w.]+ c?import (?:\([^)]*\)|.*)|c?import .*|cdef extern from .*\n(?:(?:[ \t].*)?\n)*)")


def sources():
    return {path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") + path.suffix: path.read_text()
            for suffix in ("pyx", "pxd") for path in (ROOT / "pysidctx").rglob(f"*.{suffix}")}


@cache
def cimported(text):
    """Names, and the modules that they are taken from."""
    return [(module, name.split()[0]) for module, names in CIMPORT.findall(TEXTS.sub("", text))
            for name in names.strip("()").split(",") if name.split()]


@cache
def is_function(name, text):
    return re.search(rf'^(?! *ctypedef).*\b{name}(?: "[^"]+" )?\(', text, re.MULTILINE) is not None


def call_openssl(texts):
    """The .pyx files that cimport a function of OpenSSL, or a .pxd whose inline functions may call one."""

    def calls(file, seen):
        if file in seen or file not in texts:
            return False
        seen.add(file)
        for module, name in cimported(texts[file]):
            if module in DECLARING:
                if is_function(name, texts[f"{module}.pxd"]):
                    return True
            elif calls(f"{module}.pxd", seen) or calls(f"{module}.{name}.pxd", seen):
                return True
        return calls(file.replace(".pyx", ".pxd"), seen)

    return {file for file in texts if file.endswith(".pyx") and calls(file, set())}


def unbound(texts):
    """The .pyx files that call OpenSSL before their table is filled."""
    found = set()
    for file in call_openssl(texts) - {"pysidctx.binding.pyx"}:  # which fills them
        before, statement, _ = TEXTS.sub("", texts[file]).partition("\nbind_openssl()\n")
        if not statement or BEFORE.sub("", before + "\n").strip():
            found.add(file)
    return found


def test_each_module_that_calls_openssl_has_its_table_filled_first():
    assert unbound(sources()) == set()


BOUND = sorted(file for file, text in sources().items() if "\nbind_openssl()\n" in text)


@pytest.mark.parametrize("file", BOUND)
def test_one_that_is_forgotten_or_late_is_found(file):
    texts = sources()
    without = texts[file].replace("\nbind_openssl()\n", "\n")
    assert unbound({**texts, file: without}) == {file}
    assert unbound({**texts, file: f"{without}\n\nbind_openssl()\n"}) == {file}


def test_a_function_that_is_inlined_is_found():
    texts = {
        "pysidctx.libssl.pxd": 'cdef extern from "openssl_api.h" nogil:\n    ctypedef struct SSL:\n        pass\n'
                               '    void SSL_free "OPENSSL(SSL_free)" (SSL *ssl)\n',
        "pysidctx.low.pxd": "from pysidctx.libssl cimport SSL, SSL_free\n",
        "pysidctx.middle.pxd": "from pysidctx.low cimport free_it\n",
        "pysidctx.one.pyx": "from pysidctx.middle cimport it\n",
        "pysidctx.module.pyx": "from pysidctx cimport middle\n",
        "pysidctx.own.pxd": "from pysidctx.low cimport free_it\n", "pysidctx.own.pyx": '"""Text."""\n',
        "pysidctx.types.pyx": "from pysidctx.libssl cimport SSL\n",
    }
    assert unbound(texts) == {f"pysidctx.{name}.pyx" for name in ("one", "module", "own")}
