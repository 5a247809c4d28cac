"""`pysidctx cache` and `pysidctx forget`: the memory of a SessionCache, looked at and changed from outside."""

import json
import ssl
import subprocess
import sys

import pytest
from commands import in_process
from tickets import sleep_into_next_second, visit

from pysidctx import SessionCache, set_session_id_context


def run(*arguments):
    return subprocess.run([sys.executable, "-m", "pysidctx", *map(str, arguments)], capture_output=True, text=True,
                          timeout=60)


@pytest.fixture
def secret(tmp_path):
    assert in_process("secret", tmp_path / "secret").returncode == 0
    return tmp_path / "secret"


@pytest.fixture
def memory(tmp_path):
    return tmp_path / "memory"


@pytest.fixture
def server_ctx(make_server_ctx, secret, memory):
    ctx = make_server_ctx(verify=ssl.CERT_REQUIRED)
    set_session_id_context(ctx, b"shop")
    SessionCache.from_secret_file(secret, memory=memory, size=2 << 20, period=1800).install(ctx)
    return ctx


def test_cache(server_ctx, make_client_ctx, memory):
    visit(server_ctx, make_client_ctx(ssl.TLSVersion.TLSv1_2))
    ran = run("cache", "--json", memory)
    found = json.loads(ran.stdout)
    assert (ran.returncode, ran.stderr, found["size"], found["period"]) == (0, "", 2 << 20, 1800)
    assert (found["sessions"], found["pieces of client certificates"]) == (1, 1)
    assert found["room for sessions"] > 3000 and found["room for pieces"] > 300
    lines = run("cache", memory).stdout.splitlines()
    assert lines[2] == f"sessions:            1, room for {found['room for sessions']:,}"


@pytest.mark.parametrize("content", [b"", b"other", bytes(8192)], ids=len)
def test_cache_of_something_else(tmp_path, content):
    (tmp_path / "other").write_bytes(content)
    for path, sentence in ((tmp_path / "other", "is not the memory of a SessionCache"),
                           (tmp_path, "is not a regular file")):
        ran = in_process("cache", path)
        assert (ran.returncode, ran.stdout) == (2, "")
        assert sentence in ran.stderr


@pytest.mark.parametrize("what", ["peer in PEM", "peer in DER", "id context", "all", "another peer"])
def test_forget(server_ctx, make_client_ctx, client_certificate, certificate, tmp_path, secret, memory, version, what):
    client_ctx = make_client_ctx(version)
    _, session = visit(server_ctx, client_ctx)
    resumed, session = visit(server_ctx, client_ctx, session)
    assert resumed
    pem = (certificate if what == "another peer" else client_certificate).cert_chain_pems[0].bytes()
    (tmp_path / "peer").write_bytes(
        ssl.PEM_cert_to_DER_cert(pem.decode()) if what == "peer in DER" else b"a comment\n" + pem)
    asked = {"id context": ["--id-context", b"shop".hex()], "all": ["--all"]}.get(what, ["--peer", tmp_path / "peer"])
    ran = run("forget", "--cache", memory, "--secret-file", secret, *asked)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    sleep_into_next_second()
    resumed, session = visit(server_ctx, client_ctx, session)
    assert resumed == (what == "another peer")
    resumed, _ = visit(server_ctx, client_ctx, session)
    assert resumed


def test_arguments_of_forget(server_ctx, make_client_ctx, tmp_path, secret, memory):
    (tmp_path / "nothing").write_text("-----BEGIN PRIVATE KEY-----\n")
    (tmp_path / "other").write_bytes(bytes(32))
    (tmp_path / "other").chmod(0o600)
    _, session = visit(server_ctx, make_client_ctx(ssl.TLSVersion.TLSv1_2))
    for options, sentence in (
        (["--cache", memory, "--secret-file", secret, "--peer", tmp_path / "nothing"], "contains no certificate"),
        (["--cache", memory, "--secret-file", secret, "--peer", secret], "is not a certificate in DER"),
        (["--cache", memory, "--secret-file", secret, "--id-context", "xy"], "non-hexadecimal"),
        (["--cache", memory, "--secret-file", secret, "--id-context", "00" * 33], "at most 32 bytes, not 33"),
        (["--cache", memory, "--secret-file", tmp_path / "other", "--all"], "was made with another secret"),
        (["--cache", tmp_path / "none", "--secret-file", secret, "--all"], "No such file"),
        (["--cache", memory, "--secret-file", secret], "one of the arguments"),
    ):
        ran = in_process("forget", *options)
        assert (ran.returncode, ran.stdout) == (2, ""), ran
        assert sentence in ran.stderr
    assert not (tmp_path / "none").exists()
    sleep_into_next_second()
    assert visit(server_ctx, make_client_ctx(ssl.TLSVersion.TLSv1_2), session)[0]
