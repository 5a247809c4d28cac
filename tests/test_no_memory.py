"""Calls and handshakes for which OpenSSL has no memory."""

import subprocess
import sys

import libssl
import pytest
from machine import ROOT, program


@pytest.fixture
def scarce_memory(tmp_path):
    library = tmp_path / "scarce_memory.so"
    subprocess.run([program("cc", "gcc"), "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror",
                    ROOT / "tests" / "consumers" / "scarce_memory.c", "-o", library], check=True)
    return library


# Run in a process of its own, because OpenSSL takes memory functions only before its first use.
WITHOUT_MEMORY = """
import ctypes, sys
libcrypto, library, certificate, ca, tests = sys.argv[1:]
memory = ctypes.CDLL(library)
assert ctypes.CDLL(libcrypto).CRYPTO_set_mem_functions(
    memory.scarce_malloc, memory.scarce_realloc, memory.scarce_free)
scarce_for = (ctypes.c_char * 64).in_dll(memory, "scarce_for")

sys.path.append(tests)
import ssl
import handshakes, libssl, pysidctx
server_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server_ctx.load_cert_chain(certificate)
client_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client_ctx.load_verify_locations(ca)

def fails(error, function, *arguments, file=b"listener.c"):
    scarce_for.value = file
    try:
        function(*arguments)
    except error as raised:
        print(raised)
    else:
        raise AssertionError("there was memory")
    finally:
        scarce_for.value = b""
    assert libssl.ERR_peek_error() == 0

for file in (b"listener.c", b"stack.c"):  # the second one is OpenSSL's, for the place in ex_data
    fails(MemoryError, pysidctx.set_session_id_context, server_ctx, b"shop", file=file)
ends = handshakes.pair(server_ctx, client_ctx)
fails(MemoryError, pysidctx.set_session_id_context, ends.server, b"shop")
assert handshakes.id_context(handshakes.shake(ends)) == b"Python\\0"

pysidctx.set_session_id_context(server_ctx, b"shop")
ends = handshakes.pair(server_ctx, client_ctx)
fails(ssl.SSLWantReadError, ends.client.do_handshake)
fails(ssl.SSLError, ends.server.do_handshake)
fails(ssl.SSLError, ends.client.do_handshake)
assert handshakes.id_context(handshakes.connect(server_ctx, client_ctx)) == b"shop"
"""


def test_nothing_is_changed_and_handshakes_end_in_an_alert(scarce_memory, pem_files):
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_MEMORY, libssl.file_of("libcrypto"), scarce_memory,
         *pem_files, ROOT / "tests"],
        capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    *set_on, _, server, client = ran.stdout.splitlines()
    assert len(set_on) == 3 and all("no memory" in message for message in set_on)
    assert "CALLBACK_FAILED" in server.upper()
    assert "INTERNAL_ERROR" in client.upper()
