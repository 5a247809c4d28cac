"""The command `check` in this process, and contexts for the servers that it audits."""

import json
import ssl

import pytest
import trustme
from tls_servers import tls_server

from pysidctx.__main__ import main


@pytest.fixture(scope="module", autouse=True)
def trusted(no_system_cas):
    """By the clients of all tests, where nothing else is said: nobody."""


@pytest.fixture
def run(capsys):
    """Run the command in this process. Return its exit code, its output and its errors."""
    def run(*arguments):
        code = main(["check", *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err
    return run


@pytest.fixture
def said(run):
    """Run `check --json` on a port. Return the report, with the exit code."""
    def said(port, *arguments):
        code, out, err = run(f"127.0.0.1:{port}", "--json", *arguments)
        assert err == ""
        return {**json.loads(out), "code": code}
    return said


@pytest.fixture
def server(server_ctx):
    with tls_server(server_ctx) as port:
        yield port


@pytest.fixture
def found(run):
    """Run `check --json` on a port. Return the report, which must agree with the exit code."""
    def found(port, *arguments):
        code, out, err = run(f"127.0.0.1:{port}", *arguments, "--json")
        assert err == ""
        said = json.loads(out)
        assert code == bool(said.get("faults")) or "error" in said or not said["finished"]
        return said
    return found


@pytest.fixture
def of_name(ca):
    """A context with a certificate of its own."""
    def made(*names, keys=None, verify=ssl.CERT_NONE):
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert(*names, key_type=trustme.KeyType.ECDSA).configure_cert(ctx)
        ca.configure_trust(ctx)
        ctx.verify_mode = verify
        if keys is not None:
            keys.install(ctx)
        return ctx
    return made
