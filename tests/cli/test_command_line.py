"""The command line: help, exit codes, `info` and `session`, and what it needs."""

import json
import os
import re
import ssl
import subprocess
import sys
import sysconfig
import time
from datetime import datetime
from pathlib import Path

import libssl
import pytest
from commands import in_process
from handshakes import VERSIONS, connect, pair, shake

import pysidctx
from pysidctx import Session, binding
from pysidctx.__main__ import COMMANDS, main
from pysidctx.cli import info

COMMAND = [sys.executable, "-m", "pysidctx"]


def run(*arguments, **options):
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=60,
                          **options)


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS)], ids=lambda words: " ".join(words))
def test_help(arguments):
    ran = in_process(*arguments, "--help")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert f"usage: pysidctx {' '.join(arguments)}".strip() in ran.stdout
    if arguments:
        assert "Exit code: 0" in ran.stdout
    else:
        assert all(f"    {name} " in ran.stdout for name in COMMANDS)


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["check"], ["session"], ["secret"], ["info", "x"]])
def test_a_wrong_command_ends_in_2(arguments):
    ran = in_process(*arguments)
    assert ran.returncode == 2
    assert "usage:" in ran.stderr and "Traceback" not in ran.stderr


@pytest.mark.parametrize("redirection, code, said", [(">&-", 0, ""), (">/dev/full", 2, "No space left on device")])
@pytest.mark.parametrize("command", ["info", "info --json"])
def test_output_that_nobody_gets(command, redirection, code, said):
    if "full" in redirection and not os.path.exists("/dev/full"):
        pytest.skip("this machine has no /dev/full")
    ran = subprocess.run(["sh", "-c", f"exec {sys.executable} -m pysidctx {command} {redirection}"],
                         capture_output=True, text=True, timeout=60)
    assert ran.returncode == code
    assert said in ran.stderr and "Traceback" not in ran.stderr and "ignored" not in ran.stderr


def test_the_script_is_installed():
    script = Path(sys.executable).parent / "pysidctx"
    ran = subprocess.run([script, "--version"], capture_output=True, text=True)
    assert ran.stdout == f"pysidctx {pysidctx.__version__}\n"


@pytest.mark.parametrize("command, package", [
    (["demo"], "rich"), (["demo"], "trustme"), (["check", "127.0.0.1:9"], "cryptography")])
def test_what_is_missing_is_named(tmp_path, command, package):
    (tmp_path / f"{package}.py").write_text(f"raise ModuleNotFoundError('none', name={package!r})")
    ran = run(*command, cwd=tmp_path)
    assert ran.returncode == 2
    assert ran.stderr == (f"pysidctx {command[0]} needs the package {package}: install the extra `cli` "
                          "(python -m pip install '.[cli]' in the checkout)\n")


@pytest.mark.parametrize("command", ["check", "demo", "info", "secret", "session"])
def test_help_needs_no_other_package(tmp_path, command):
    for package in ("cryptography", "matplotlib", "rich", "trustme"):
        (tmp_path / f"{package}.py").write_text(f"raise ModuleNotFoundError('none', name={package!r})")
    ran = run(command, "--help", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "--help" in ran.stdout


@pytest.mark.parametrize("command", ["info", "session"])
def test_some_commands_need_nothing_else(command, tmp_path, session_file):
    for package in ("rich", "trustme", "cryptography"):
        (tmp_path / f"{package}.py").write_text(f"raise ModuleNotFoundError('none', name={package!r})")
    arguments = [session_file] if command == "session" else []
    assert run(command, *arguments, cwd=tmp_path).returncode == 0


def test_a_reader_that_goes_away():
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run([*COMMAND, "info"], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (141, b"")


def test_info():
    ran = run("info")
    assert (ran.returncode, ran.stderr) == (0, "")
    for line in (f"pysidctx: {pysidctx.__version__}", f"OpenSSL: {ssl.OPENSSL_VERSION}",
                 f"libssl says that it is: {ssl.OPENSSL_VERSION}",
                 f"Python: CPython {sys.version.split()[0]}",
                 "one libssl: proved: libcrypto saw ssl make a context, with a method of this libssl",
                 "layout of ssl's objects: proved: the pointers lie where libssl's own objects are",
                 "  SSL_CTX_set_client_hello_cb: yes"):
        assert line in ran.stdout.splitlines()
    found = json.loads(run("info", "--json").stdout)
    assert found["free-threaded"] == bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    assert found["this libssl has"]["SSL_CTX_set_tlsext_ticket_key_evp_cb"] == (
        ssl.OPENSSL_VERSION_INFO >= (3,))
    assert set(found["this libssl has"]) == set(info.FUNCTIONS)
    assert os.path.samefile(found["libssl is in"], libssl.file_of("libssl"))
    assert found["libssl was found by"].startswith(f"{binding.binding()}: ")
    if binding.built_with() is None:
        assert found["OpenSSL when pysidctx was built"] == "none: it serves every version"
    else:
        assert found["OpenSSL when pysidctx was built"] == binding.built_with()
        assert binding.built_with().startswith("OpenSSL ")
    assert re.match(r"\d", found["other packages"]["rich"])


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_info_tells_when_ssl_names_another_version(options, monkeypatch, capsys):
    monkeypatch.setattr(ssl, "OPENSSL_VERSION", "OpenSSL 3.9.9")
    assert main(["info", *options]) == 1
    told = capsys.readouterr()
    assert "OpenSSL 3.9.9" in told.out and binding.library_version() in told.out
    (said,) = told.err.splitlines()
    assert "says that it uses OpenSSL 3.9.9, but" in said and f"that it is {binding.library_version()}:" in said


def test_functions_that_pysidctx_does_not_call_are_not_asked_for():
    with pytest.raises(ValueError, match=r"knows no function SSL_clear\(\) of OpenSSL"):
        binding.has("SSL_clear")


@pytest.fixture
def session(server_ctx, make_client_ctx):
    client = connect(server_ctx, make_client_ctx(VERSIONS[1])).client
    return Session.of(client).with_id_context(b"shop/v1")


@pytest.fixture
def session_file(session, tmp_path):
    session.save(tmp_path / "session.pem")
    return tmp_path / "session.pem"


def test_session(session, session_file):
    ran = in_process("session", session_file)
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = dict(re.split(r": +", line, maxsplit=1) for line in ran.stdout.splitlines())
    assert lines["protocol"] == "TLSv1.3" and lines["cipher"] == session.cipher
    assert lines["host"] == "a.test"
    assert lines["id"] == session.id.hex()
    assert lines["id context"] == b"shop/v1".hex()
    assert lines["id context as text"] == "shop/v1"
    assert datetime.fromisoformat(lines["ends"]) - datetime.fromisoformat(lines["made"]) == session.timeout
    assert lines["valid"] == lines["resumable"] == lines["ticket"] == "yes"
    assert "file" not in lines
    found = json.loads(in_process("session", session_file, "--json").stdout)
    assert found["ticket lifetime hint"] == session.ticket_lifetime_hint


def test_no_secret_of_a_session_is_shown(session, session_file):
    key = libssl.master_key(session.to_der())
    ticket = libssl.ticket(session.to_der())
    for options in ([], ["--json"]):
        said = in_process("session", session_file, *options).stdout
        assert key.hex() not in said.lower() and ticket.hex()[:32] not in said.lower()


def test_a_session_that_others_can_read(session_file):
    session_file.chmod(0o644)
    ran = in_process("session", session_file)
    assert ran.returncode == 0
    assert "other users have access to this file" in ran.stdout


def test_a_session_that_has_ended(session, session_file, capsys):
    with libssl.session_from(session.to_der()) as old:
        libssl.SSL_SESSION_set_time(old, 1000)
        Session.from_der(libssl.der_of(old), id_context=None, host="a.test").save(session_file)
    assert main(["session", str(session_file)]) == 1
    assert re.search(r"^valid: +no$", capsys.readouterr().out, re.MULTILINE)


def test_a_ticket_that_the_server_keeps_for_less(session, session_file, capsys):
    """Clients of TLS 1.3 do not offer it later."""
    with libssl.session_from(session.to_der()) as old:
        libssl.SSL_SESSION_set_time(old, int(time.time()) - session.ticket_lifetime_hint - 10)
        libssl.SSL_SESSION_set_timeout(old, 10 * session.ticket_lifetime_hint)
        Session.from_der(libssl.der_of(old), id_context=None, host="a.test").save(session_file)
    assert main(["session", str(session_file)]) == 1


def test_a_session_without_a_ticket_or_an_id(server_ctx, make_client_ctx, tmp_path, capsys):
    ends = shake(pair(server_ctx, make_client_ctx(VERSIONS[0])))
    Session.of(ends.server).save(tmp_path / "server.pem")
    assert main(["session", str(tmp_path / "server.pem")]) == 1


@pytest.mark.parametrize("content, said", [
    (None, "No such file"), (b"", "no complete PEM block"), (b"\0" * 100, "no complete PEM block")],
    ids=["missing", "empty", "zeros"])
def test_what_is_no_session(tmp_path, content, said):
    path = tmp_path / "session.pem"
    if content is not None:
        path.touch(0o600)
        path.write_bytes(content)
    ran = in_process("session", path)
    assert ran.returncode == 2
    assert ran.stderr.startswith("pysidctx session: ") and ran.stderr.count("\n") == 1
    assert said in ran.stderr and str(path) in ran.stderr
