"""`doctor`: the process that listens on a port, and what is told of it."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from doctors import Diagnosed
from machine import module
from tls_servers import tls_server

from pysidctx.__main__ import main
from pysidctx.cli.doctor.gunicorn_settings import command, settings, without_settings
from pysidctx.cli.doctor.listener import Listener, environment_in, listener
from pysidctx.cli.doctor.port_process import process_findings
from pysidctx.cli.doctor.rehearse import rehearse

LISTEN = """
import socket, sys
with socket.create_server(("127.0.0.1", 0)) as made:
    print(made.getsockname()[1], flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def another_process(folder, code=LISTEN, **environment):
    """A Python without pysidctx that listens."""
    with subprocess.Popen([sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          cwd=folder, env={"PATH": os.environ["PATH"], **environment}) as process:
        yield process, int(process.stdout.readline())
        process.stdin.close()


@pytest.mark.parametrize("address, target", [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "localhost"), ("::1", "[::1]"),
                                             ("::", "[::1]")])
def test_this_process_listens(address, target):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if family == socket.AF_INET6 and not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("this machine has no IPv6")
    with socket.create_server((address, 0), family=family) as made:
        found = listener(f"{target}:{made.getsockname()[1]}")
    assert found is not None and (found.number, found.user) == (os.getpid(), os.geteuid())
    assert found.is_python and found.is_own and found.loads_pysidctx
    assert found.folder == os.getcwd()


def test_another_process_listens(tmp_path):
    with another_process(tmp_path, PYSIDCTX_STATS="/dev/shm/x y") as (process, port):
        found = listener(f"127.0.0.1:{port}")
    assert found is not None and found.number == process.pid
    assert found.arguments[:3] == [sys.executable, "-S", "-c"]
    assert found.environment["PYSIDCTX_STATS"] == "/dev/shm/x y"
    assert found.folder == str(tmp_path)
    assert abs(found.started - time.time()) < 600
    assert not found.loads_pysidctx and not found.is_gunicorn


def test_a_process_in_another_root_directory(tmp_path):
    """As in a container. Its configuration is not run, and its files are not looked for."""
    if os.geteuid() != 0:
        pytest.skip("only root can change the root directory")
    code = LISTEN.replace("    sys.stdin", "    import os; os.chroot('.')\n    sys.stdin")
    with another_process(tmp_path, code) as (_, port):
        found = listener(f"127.0.0.1:{port}")
        while not found.is_contained:  # it prints its port before it changes
            found = listener(f"127.0.0.1:{port}")
    assert found.is_own and not found.is_judged


@pytest.mark.parametrize("target", [
    "127.0.0.1:1", "192.0.2.1:443", "no-such-host.invalid", "localhost:x", "[::1", "", "/"])
def test_nobody_is_found(target):
    assert listener(target) is None


ONE = Listener(42, os.geteuid(), "/usr/bin/python3.11", [sys.executable, "serve.py"], "/srv", {}, True)


@pytest.mark.parametrize("changed, check, grade, seen", [
    ({}, "loaded", "ok", "has loaded pysidctx"),
    ({"environment": None, "arguments": ["gunicorn: master [app]"]}, "process", "note", "What is judged below is the "
     "environment of doctor"),
    ({"loads_pysidctx": False}, "loaded", "note", "has not loaded pysidctx"),
    ({"loads_pysidctx": False, "arguments": [sys.executable, "-m", "uvicorn", "app"]}, "loaded", "note",
     "has not loaded"),
    ({"program": "/usr/sbin/nginx"}, "process", "note", "is /usr/sbin/nginx, and not Python"),
    ({"user": os.geteuid() + 1}, "process", "info", f"belongs to user {os.geteuid() + 1}"),
    ({"is_contained": True}, "process", "info", "sees other files than doctor"),
    ({"arguments": ["/bin/python3", "serve.py"]}, "interpreter", "note", "runs with /bin/python3"),
    ({"arguments": ["/gone/bin/python3", "serve.py"]}, "interpreter", "note", "runs with /gone/bin/python3"),
])
def test_what_is_told_of_it(changed, check, grade, seen):
    found = {finding.check: finding for finding in process_findings("localhost", ONE._replace(**changed))}
    assert found[check].grade == grade and seen in found[check].seen
    assert found[check].do or grade == "ok"
    told = "restart it with its arguments as `python -m pysidctx serve uvicorn ARGUMENTS`" in found[check].do
    assert told == ("uvicorn" in changed.get("arguments", ()))
    assert ONE._replace(**changed).is_judged == (not {"program", "user", "is_contained"} & {*changed})


@pytest.mark.parametrize("bind, told", [
    (["127.0.0.1:8443", "[::1]:8443"], "binds: 127.0.0.1:8443, [::1]:8443"), (["localhost:443"], ""), ([], "")])
def test_the_configuration_binds_another_address(bind, told):
    (found,) = process_findings("localhost:443", None, bind)
    assert found.do.endswith(told) and ("binds" in found.do) == bool(told)


@pytest.mark.parametrize("arguments, told", [
    (["/v/bin/python", "/v/bin/gunicorn", "-w", "4", "app"], ["-w", "4", "app"]),
    (["/v/bin/python", "-W", "error", "-m", "gunicorn", "app"], ["app"]),
    (["gunicorn: master [app]"], None), (["/v/bin/python", "serve.py"], None)])
def test_arguments_of_gunicorn(arguments, told):
    found = ONE._replace(arguments=arguments)
    assert found.gunicorn_arguments == told
    assert found.is_gunicorn == ("serve.py" not in arguments)


@pytest.mark.parametrize("arguments, told", [
    (["python", "serve.py", "--password", "x"], "python serve.py ..."), (["python", "serve.py"], "python serve.py"),
    (["python", "-W", "error", "-m", "gunicorn", "-e", "X=x"], "python -W error -m gunicorn ..."),
    (["python", "/bin/pysidctx", "serve", "uvicorn", "--x", "x"], "python /bin/pysidctx serve uvicorn ..."),
    (["python", "/bin/pysidctx", "check", "x"], "python /bin/pysidctx ..."),
    (["python", "-c", "x"], "python -c ..."), (["python"], "python"), (["gunicorn: master [app]"],
                                                                        "'gunicorn: master [app]'")])
def test_arguments_are_not_shown(arguments, told):
    """They may contain secrets."""
    assert ONE._replace(arguments=arguments).command == told


@pytest.mark.parametrize("data, told", [
    (b"A=1\0B=\0=x\0C=a=b\0", {"A": "1", "B": "", "C": "a=b"}), (b"", {}), (b"\0" * 100, None),
    (b"ter [app]\0A=1", None)])
def test_environments(data, told):
    """That of a process with a new title is overwritten."""
    assert environment_in(data) == told


def test_a_server_that_pysidctx_serve_could_start(tmp_path):
    for name, arguments in (("hypercorn", ["/v/bin/hypercorn"]), (None, ["serve.py"]),
                            (None, ["-m", "pysidctx", "serve", "uvicorn"])):
        server = ONE._replace(arguments=[sys.executable, *arguments, "app:asgi"], folder=str(tmp_path))
        asked = command(None, None, server)
        (found,) = without_settings(asked)
        assert server.plain_server == name and ("docs/servers.md" in found.do) == ("serve.py" in arguments)


def test_what_pysidctx_serve_sets_is_not_missed(tmp_path):
    module("gunicorn", "gunicorn")
    module("aiohttp", "aiohttp")
    server = ONE._replace(arguments=[sys.executable, "-m", "pysidctx", "serve", "gunicorn", "-k",
                                     "aiohttp.GunicornWebWorker", "app"], folder=str(tmp_path))
    for is_served, grade in ((True, "ok"), (False, "fault")):
        asked = command(None, None, server)._replace(is_served=is_served)
        assert asked.is_in_use and asked.arguments == ["-k", "aiohttp.GunicornWebWorker", "app"]
        rehearsed = rehearse(asked.arguments, dict(os.environ), asked.folder)
        found = {each.check: each for each in settings(rehearsed, asked)}
        assert found["hook"].grade == found["worker-class"].grade == grade
    assert command(None, None, server).is_served
    restarted = server._replace(arguments=[sys.executable, "/v/pysidctx/__main__.py", "serve", "gunicorn", "app"])
    assert command(None, None, restarted).is_served


@pytest.fixture
def doctor(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = main(["doctor", "--json", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert err == ""
        return Diagnosed(out, code)
    return run


def test_the_environment_of_the_process_is_judged(doctor, tmp_path):
    with another_process(tmp_path, PYSIDCTX_SECRET_FILE="none", PYSIDCTX_TYPO="x") as (_, port):
        found = doctor(f"127.0.0.1:{port}", "--timeout", "0.5")
    assert found.code == 1 and found.said["port"] is None
    assert repr(str(tmp_path / "none")) in found.found("secret", "secret")[0]["seen"]
    assert any("PYSIDCTX_TYPO is not known" in each["seen"] for each in found.found("environment", "variable"))
    assert found.grades("process", "loaded") == ["note"]
    assert "sent nothing in 0.5 s" in found.found("port", "port")[0]["seen"]


def test_the_folder_of_the_process_was_removed(doctor, tmp_path):
    """As of a release that another one has replaced."""
    folder = tmp_path / "release"
    folder.mkdir()
    with another_process(folder, PYSIDCTX_PERIOD="100") as (_, port):
        folder.rmdir()
        found = doctor(f"127.0.0.1:{port}", "--timeout", "0.5")
    assert found.code == 1
    assert any("release (deleted), does not exist any more" in each["seen"] for each in found.graded("fault"))


def test_the_wrong_port(doctor):
    found = doctor("127.0.0.1:1")
    assert found.code == 1
    assert "Connection refused" in found.one("fault")["seen"]
    assert "no process of this user" in found.found("process", "process")[0]["seen"]


@pytest.mark.parametrize("target, told", [
    ("127.0.0.1:99999", "'99999' is not a port number"), ("https://localhost:8443/", "is a URL: pass only HOST"),
    (":8443", "':8443' names no host"), ("8443", "is 8443 a port?"), ("a b", "'a b' is not a host name")])
def test_what_is_no_address(target, told, capsys):
    assert main(["doctor", target]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("pysidctx doctor: ") and told in err


def test_a_server_that_resumes(doctor, server_ctx, pem_files):
    with tls_server(server_ctx) as port:
        found = doctor(f"127.0.0.1:{port}", "--ca-file", pem_files[1], "--name", "a.test", "--connections", 4)
    assert found.code == 0 and not found.graded("fault", "note")
    assert found.grades("port", "resumption").count("ok") >= 1
    assert found.said["port"]["faults"] == 0 and found.said["port"]["names"] == ["a.test"]


def test_another_certificate_than_that_of_the_configuration(doctor, server_ctx, tmp_path, ca, pem_files):
    ca.issue_cert("a.test").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "other.pem"))
    for certfile, grades in ((tmp_path / "other.pem", ["note"]), (pem_files[0], [])):
        with tls_server(server_ctx) as port:
            found = doctor(f"127.0.0.1:{port}", "--name", "a.test", "--connections", 2,
                           "--gunicorn", f"--certfile {certfile} app")
        assert found.grades("port", "other-certificate") == grades


def test_the_options_are_those_of_check(doctor, server_ctx):
    """A server that begins in plain text."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        def greet():
            with contextlib.suppress(OSError):
                while True:
                    with made.accept()[0] as plain:
                        plain.sendall(b"220 mail.test ESMTP\r\n")
                        plain.recv(4096)
        thread = threading.Thread(target=greet)
        thread.start()
        found = doctor(f"127.0.0.1:{made.getsockname()[1]}", "--timeout", "0.5")
        made.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert "try --starttls smtp" in found.found("port", "port")[0]["seen"]
