"""The declarations of OpenSSL's constants and functions are those of its own headers."""

import re
import shutil
import subprocess

import pytest
from machine import COMPILER, ROOT, lack

pytestmark = [pytest.mark.one_python, pytest.mark.source]


def version_of_headers():
    defined = subprocess.run([*COMPILER.split(), "-dM", "-E", "-"], input="#include <openssl/opensslv.h>\n",
                             text=True, capture_output=True, check=True).stdout
    return tuple(int(number) for part in ("MAJOR", "MINOR")
                 for number in re.findall(rf"OPENSSL_VERSION_{part}\s+(\d+)", defined)) or (1, 1)


def check(include):
    """What the compiler says of openssl_check.h beside the OpenSSL headers of this machine."""
    compiler = [*COMPILER.split(), "-fsyntax-only", "-x", "c", "-"]
    if subprocess.run(compiler, input="#include <openssl/ssl.h>\n", text=True, capture_output=True).returncode:
        lack("OpenSSL's headers are missing: install libssl-dev")
    return subprocess.run([*compiler, "-Wall", "-Wextra", "-Werror", "-fmax-errors=0", "-I", include], text=True,
                          input="#include <openssl_check.h>\n", capture_output=True)


@pytest.fixture
def headers(tmp_path):
    return shutil.copytree(ROOT / "include", tmp_path / "include")


def test_the_declarations_are_those_of_openssl_s_own_headers():
    ran = check(ROOT / "include")
    assert (ran.returncode, ran.stderr) == (0, "")


def test_each_constant_is_checked(headers):
    path = headers / "openssl_constants.h"
    wrong, count = re.subn(r"^(CONSTANT\(\w+, )(\w+)\)", r"\1\2 + 1)", path.read_text(), flags=re.MULTILINE)
    path.write_text(wrong)
    ran = check(headers)
    assert ran.stderr.count('failed: "a constant has another value"') == count > 50


def test_the_prototype_of_each_function_is_checked(headers):
    path = headers / "openssl_check.h"
    path.write_text(path.read_text().replace("(result(*) arguments)", "(struct another *(*) arguments)"))
    told = re.findall(r'static assertion failed.*\b(\w+)"?$', check(headers).stderr, flags=re.MULTILINE)
    listed = re.findall(r"^([A-Z_0-9]+)\(.*?, (\w+), +\(", (headers / "openssl_functions.h").read_text(),
                        flags=re.MULTILINE)
    version = version_of_headers()
    present = {"FROM_3_0": version >= (3, 0), "FROM_3_3": version >= (3, 3), "UNTIL_3_0": version < (3, 0)}
    assert len(listed) > 150
    assert sorted(told) == sorted(name for macro, name in listed if present.get(macro, True))


@pytest.mark.parametrize("name, right, wrong", [
    ("SSL_version", "NEED(int, SSL_version", "NEED(long, SSL_version"),
    ("SSL_set_options", "(SSL *s, uint64_t op)", "(SSL *s, int op)"),
    ("SSL_CTX_get_num_tickets", "(const SSL_CTX *ctx)", "(SSL_CTX *ctx)"),
    ("X509_get0_notAfter", "NEED(const ASN1_TIME *, X509_get0_notAfter", "NEED(ASN1_TIME *, X509_get0_notAfter"),
])
def test_a_wrong_prototype_is_named(headers, name, right, wrong):
    path = headers / "openssl_functions.h"
    lines = [line.replace(right, wrong) if f" {name}," in line else line for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines) + "\n")
    ran = check(headers)
    assert ran.returncode != 0
    assert re.findall(r'static assertion failed.*\b(\w+)"?$', ran.stderr, flags=re.MULTILINE) == [name]
