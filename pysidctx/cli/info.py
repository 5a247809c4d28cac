"""`info`: versions and libraries, for a bug report."""

import argparse
import json
import platform
import ssl
import sys
import sysconfig

import pysidctx
from pysidctx import binding
from pysidctx.cli import in_words

# Functions that only some versions or builds of OpenSSL have. pysidctx uses them, or an alternative.
FUNCTIONS = ("SSL_CTX_set_client_hello_cb", "SSL_CTX_set_session_ticket_cb",
             "SSL_CTX_set_tlsext_ticket_key_evp_cb", "X509_STORE_get1_objects",
             "SSL_set_psk_server_callback")

# What binding() returns, in words.
WAYS = {
    "linked": "linked: pysidctx was linked with it",
    "dlsym": "dlsym: the file that holds the code of ssl, or a library that it loads, exports it",
    "global scope": "global scope: a library exports it that was loaded before, as by LD_PRELOAD",
    "symbol table": "symbol table: it is hidden in the file that holds the code of ssl",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(arguments: argparse.Namespace) -> int:
    found = gathered()
    if arguments.json:
        print(json.dumps(found, indent=1))
    else:
        print_as_text(found)
    if found["libssl says that it is"] == found["OpenSSL"]:
        return 0
    print(f"pysidctx info: Python's ssl says that it uses {found['OpenSSL']}, but the libssl that pysidctx calls says "
          f"that it is {found['libssl says that it is']}: please report this, with all of the output", file=sys.stderr)
    return 1


def print_as_text(found: dict[str, object]) -> None:
    for heading, value in found.items():
        if isinstance(value, dict):
            print(f"{heading}:")
            for name, each in value.items():
                print(f"  {name}: {in_words(each, 'not installed')}")
        else:
            print(f"{heading}: {in_words(value, 'not installed')}")


def gathered() -> dict[str, object]:
    return {**libraries(), "other packages": {name: version_of(name) for name in (
        "rich", "cryptography", "trustme", "gunicorn", "uvicorn", "hypercorn", "uvloop", "aiohttp", "pyOpenSSL")}}


def libraries() -> dict[str, object]:
    return {
        "pysidctx": pysidctx.__version__,
        "pysidctx is in": str(pysidctx.__path__[0]),
        "Python": f"{platform.python_implementation()} {sys.version.split()[0]}",
        "free-threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "platform": platform.platform(),
        "OpenSSL": ssl.OPENSSL_VERSION,
        "OpenSSL when pysidctx was built": binding.built_with() or "none: it serves every version",
        "libssl is in": binding.library_file(),
        "libssl says that it is": binding.library_version(),
        "libssl was found by": WAYS[binding.binding()],
        # binding.pyx proves the one, and handles.pyx the other, or pysidctx cannot be imported.
        "one libssl": "proved: libcrypto saw ssl make a context, with a method of this libssl",
        "layout of ssl's objects": "proved: the pointers lie where libssl's own objects are",
        "this libssl has": {name: binding.has(name) for name in FUNCTIONS},
    }


def version_of(package: str) -> "str | None":
    from importlib import metadata  # imported only here, because `doctor` can do without it
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
