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


def differing(ran):
    """What the compiler names."""
    return re.findall(r"static assertion failed.*OpenSSL declares otherwise: (\w+)", ran.stderr)


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
    assert len(differing(ran)) == count > 50


def test_the_type_of_each_function_and_callback_is_checked(headers):
    path = headers / "openssl_check.h"
    path.write_text(path.read_text().replace("result(*) arguments", "struct another *(*) arguments"))
    told = differing(check(headers))
    listed = re.findall(r"^([A-Z_0-9]+)\(.*?, (\w+), +\(", (headers / "openssl_functions.h").read_text(),
                        flags=re.MULTILINE)
    version = version_of_headers()
    present = {"FROM_3_0": version >= (3, 0), "FROM_3_3": version >= (3, 3), "UNTIL_3_0": version < (3, 0),
               "FUNCTION_TYPE_FROM_3_0": version >= (3, 0)}
    assert len(listed) > 150
    types = re.findall(r"^([A-Z_0-9]+)\(.*?, (\w+), \(", (headers / "openssl_callbacks.h").read_text(),
                       flags=re.MULTILINE)
    assert len(types) > 10
    listed += types
    assert sorted(told) == sorted(name for macro, name in listed if present.get(macro, True))


@pytest.mark.parametrize("name, right, wrong", [
    ("OSSL_PARAM", "MEMBER(size_t, return_size, 4", "MEMBER(size_t, return_size, 3"),
    ("OSSL_PARAM", "MEMBER(unsigned int, data_type", "MEMBER(int, data_type"),
    ("OSSL_PARAM", "== 5 * sizeof(void *)", "== 6 * sizeof(void *)"),
    ("SSL_TICKET_STATUS", "TYPE(SSL_TICKET_STATUS, int)", "TYPE(SSL_TICKET_STATUS, long)"),
    ("OSSL_HANDSHAKE_STATE", "HANDSHAKE_STATE, unsigned int)", "HANDSHAKE_STATE, unsigned long)"),
    ("SSL_MAX_SID_CTX_LENGTH", "== 32", "== 31"),
    ("PEM_STRING_SSL_SESSION", "SESSION PARAMETERS", "SESSION PARAMETER"),
    ("PEM_STRING_SSL_SESSION", "SESSION PARAMETERS", "SESSION PARAMETERZ"),
    ("OSSL_MAC_PARAM_DIGEST", '"digest"', '"Digest"'),
])
def test_what_is_not_in_a_list_is_checked(headers, name, right, wrong):
    if name.startswith("OSSL_") and name != "OSSL_HANDSHAKE_STATE" and version_of_headers() < (3, 0):
        pytest.skip("OpenSSL has it from 3.0 on")
    path = headers / "openssl_check.h"
    text = path.read_text()
    assert text.count(right) == 1
    path.write_text(text.replace(right, wrong))
    assert differing(check(headers)) == [name]


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
    assert differing(check(headers)) == [name]


# What is a macro or an inline function in OpenSSL's headers

MACROS = ROOT / "tests" / "consumers" / "openssl_macros.c"
WRITTEN_HERE = re.compile(r"#define ((?!PYSIDCTX_|STACK_OF|OPENSSL\(|NEED|FROM_|FUNCTION_TYPE|CALLBACK|CONSTANT)\w+\()")


def calls(folder, include, *flags):
    """What the macros call, as far as this OpenSSL has them; None if they cannot be compiled."""
    ran = subprocess.run([*COMPILER.split(), "-O1", "-Wall", "-Wextra", "-Wno-unused-value", "-Werror", "-I", include,
                          *flags, MACROS, "-o", folder / "macros"], capture_output=True, text=True)
    if ran.returncode:
        return None
    told = subprocess.run([folder / "macros"], capture_output=True, text=True, check=True).stdout.splitlines()
    # Without flags, these are those of OpenSSL's headers, which have OSSL_PARAM from 3.0 on.
    return told if version_of_headers() >= (3, 0) or not flags else told[:-6]


def test_the_macros_call_what_openssl_s_own_call(tmp_path):
    assert check(ROOT / "include").returncode == 0
    own = calls(tmp_path, ROOT / "include", "-DPYSIDCTX_TABLE")
    assert len(own) > 40 and own == calls(tmp_path, ROOT / "include")
    declared, called = (ROOT / "include" / "openssl_api.h").read_text(), MACROS.read_text()
    macros = WRITTEN_HERE.findall(declared)
    assert len(macros) > 20
    assert [macro for macro in macros if macro not in called] == []
    stacks = [re.findall(rf"^ *{macro}\((\w+), ", text, flags=re.MULTILINE)
              for macro, text in (("PYSIDCTX_STACK", declared), ("STACK", called))]
    assert stacks[0] == stacks[1] != []


@pytest.mark.parametrize("right, wrong", [
    ("SSL_CTRL_GET_CHAIN_CERTS, 0, sk", "SSL_CTRL_GET_CHAIN_CERTS, 1, sk"),
    ("SSL_CTRL_SET_GROUPS_LIST, 0, (char *)(list)", "SSL_CTRL_SET_SIGALGS_LIST, 0, (char *)(list)"),
    ("OPENSSL(SSL_get_ex_data)(ssl, 0)", "OPENSSL(SSL_get_ex_data)(ssl, 1)"),
    ("(const OPENSSL_STACK *)sk, index", "(const OPENSSL_STACK *)sk, index + 1"),
    ("    size_t data_size;\n", "    unsigned int data_size;\n"),
    ('"SSL SESSION PARAMETERS"', '"SSL SESSION"'),
])
def test_a_wrong_macro_is_noticed(headers, tmp_path, right, wrong):
    if "data_size" in right and version_of_headers() < (3, 0):
        pytest.skip("OpenSSL has OSSL_PARAM from 3.0 on")
    path = headers / "openssl_api.h"
    text = path.read_text()
    assert text.count(right) == 1
    path.write_text(text.replace(right, wrong))
    assert check(headers).returncode == 0
    assert calls(tmp_path, headers, "-DPYSIDCTX_TABLE") != calls(tmp_path, headers)
