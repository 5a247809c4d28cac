"""`pysidctx serve`: the servers' own command lines, with workers that resume each other's sessions."""

import inspect
import os
import re
import signal
import ssl
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import libssl
import pytest
from machine import lack, module, program
from prepared import prepared
from readme import EXAMPLES
from server_programs import SERVED, VISITS, PythonClient, of_serve, visits

from pysidctx.__main__ import main
from pysidctx.environment import STATS
from pysidctx.lockfree.counts import read_totals
from pysidctx.servers.launch import NotServed, require_certificate, warn_without_authorities

TLS13 = 1  # of the clients in `returning`, Python's with this version

OPTIONS = re.compile(r"--[a-z][\w-]+")

# An application with a module that has the name of one in pysidctx.
OWN_MODULES = {"valkey.py": "is_mine = True\n", "app.py": f"from valkey import is_mine\n{EXAMPLES['app.py']}"}

# Arguments with which a server ends at once, or does not start at all.
ENDING = {
    "uvicorn, its options": ("uvicorn", "--no-such-option"),
    "uvicorn, help": ("uvicorn", "--help"),
    "uvicorn, no application": ("uvicorn", "app:missing", "--ssl-certfile", "server.pem"),
    "hypercorn, its options": ("hypercorn", "--no-such-option"),
    "hypercorn, help": ("hypercorn", "--help"),
    "hypercorn, no port": ("hypercorn", "app:asgi", "--bind", "127.0.0.1:80000", "--certfile", "server.pem",
                           "--keyfile", "server.pem"),
    "gunicorn, its options": ("gunicorn", "--no-such-option"),
    "gunicorn, help": ("gunicorn", "--help"),
    "gunicorn, no application": ("gunicorn", "app:missing", "--certfile", "server.pem"),
}


def children(process):
    """The process ids of a server's workers, and of what else it has started."""
    return {int(child) for file in Path(f"/proc/{process}/task").glob("*/children")
            for child in file.read_text().split()}


def until(condition, message):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, message
        time.sleep(0.05)


def running(process):
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


# A command has yet to import pysidctx.
SERVERS = """
import runpy
from contextlib import suppress
for server in "gunicorn.app.wsgiapp", "hypercorn.__main__", "uvicorn.main":
    with suppress(ImportError):
        __import__(server)
"""
COMMAND = """
sys.argv[1:] = {arguments!r}
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def starting():
    with prepared(SERVERS) as run:
        yield run


@pytest.fixture
def serve(tmp_path, request, starting):
    """Runs the command until it ends, or `python -m` with the same arguments; `code` is run before."""
    def running_it(*arguments, plain=False, env=os.environ, code=""):
        if arguments[0] == "uvicorn" and not code:
            request.getfixturevalue("hook_of_uvicorn")
        (tmp_path / "app.py").write_text("async def asgi(scope, receive, send): pass\n")
        called, *others = arguments if plain else ("pysidctx", "serve", *arguments)
        return starting(code + COMMAND.format(arguments=others, module=called), tmp_path, env)
    return running_it


@pytest.mark.parametrize("name", SERVED)
def test_replaced_workers_have_the_same_secret(start, returning, name):
    """It lives as long as the server, without a file."""
    if name == "serve hypercorn" and "SIGHUP" not in inspect.getsource(module("hypercorn.run", "hypercorn")):
        lack("this hypercorn does not replace its workers: install 0.18 or later", since=(3, 10))
    client = returning[TLS13]
    with start(name, files=OWN_MODULES, two_workers=True) as server:
        before, after = set(), set()
        until(lambda: seen(before, client, server.port, first=True) == 2, "there are no two workers")
        server.processes[0].send_signal(signal.SIGHUP)
        # hypercorn ends if a client still sends its request to a worker that is stopping.
        until(lambda: not any(map(running, before)), "the workers were not replaced")
        until(lambda: seen(after, client, server.port) == 2, "there are no two new workers")
        assert not after & before
        assert "Warning" not in server.log.read_text()


def seen(processes, client, port, *, first=False):
    """How many processes have been seen, after one more visit; only the `first` of all is not resumed."""
    with suppress(OSError):  # a server that is just starting
        resumed, process = client.visit(port)
        assert resumed or first and not processes
        processes.add(process)
    return len(processes)


@pytest.mark.parametrize("name", SERVED)
def test_sigterm_ends_all_of_it_as_without_pysidctx(start, name):
    codes = []
    for plain in False, True:
        with start(name, two_workers=True, plain=plain) as server:
            process = server.processes[0]
            until(lambda of=process.pid: len(children(of)) >= 2, "there are no two workers")
            started = children(process.pid)
            process.send_signal(signal.SIGTERM)
            codes.append(process.wait(30))
            until(lambda of=started: not any(map(running, of)), "a worker is still running")
    assert codes[0] == codes[1]


@pytest.mark.parametrize("arguments", ENDING.values(), ids=ENDING)
def test_exit_codes_and_what_is_printed_are_the_server_s(serve, arguments, tmp_path, pem_files):
    (tmp_path / "server.pem").write_bytes(pem_files[0].read_bytes())
    ours, plain = serve(*arguments), serve(*arguments, plain=True)
    assert ours.returncode == plain.returncode
    assert OPTIONS.findall(ours.stdout + ours.stderr) == OPTIONS.findall(plain.stdout + plain.stderr)


@pytest.mark.parametrize("server, option", [
    ("uvicorn", "--ssl-certfile"), ("hypercorn", "--certfile and --keyfile"), ("gunicorn", "--certfile")])
def test_without_a_certificate_nothing_is_served(serve, server, option):
    ran = serve(server, "app:asgi")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert f"pysidctx serve: {server} has no certificate" in ran.stderr and f"pass {option}, or start" in ran.stderr


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn", "gunicorn"])
def test_a_bad_environment_is_told_before_anything_starts(serve, server):
    ran = serve(server, "app:asgi", env={**os.environ, "PYSIDCTX_PERIOD": "0"})
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("pysidctx serve: the environment variable PYSIDCTX_PERIOD is 0, which is out of range")


@pytest.mark.parametrize("arguments", [("granian", "app:asgi"), ("--workers", "granian", "uvicorn")])
def test_another_server(serve, arguments):
    ran = serve(*arguments)
    assert ran.returncode == 2
    assert "options of the server come after its name" in ran.stderr
    assert "'granian' is none of gunicorn, hypercorn, uvicorn: for other servers, see docs/servers.md" in ran.stderr


def test_a_certificate_that_cannot_be_loaded(serve, tmp_path, ca):
    ran = serve("uvicorn", "--workers", "2", "--ssl-certfile", "none.pem", "app:asgi")
    assert (ran.returncode, ran.stderr) == (
        2, "pysidctx serve: 'none.pem' does not exist or cannot be read: correct the path\n")
    chain, key, other, locked = (str(tmp_path / name) for name in ("chain.pem", "key.pem", "other.pem", "locked.pem"))
    issued = ca.issue_cert("a.test")
    issued.cert_chain_pems[0].write_to_path(chain)
    issued.private_key_pem.write_to_path(key)
    ca.issue_cert("a.test").private_key_pem.write_to_path(other)
    subprocess.run([program("openssl", "openssl"), "pkey", "-in", key, "-aes128", "-passout", "pass:right", "-out",
                    locked], check=True)
    for keyfile, password in ((key, None), (locked, "right"), (locked, None)):  # the server asks for the last one
        require_certificate(chain, keyfile, password)
    for keyfile, password in ((other, None), (None, None), (locked, "wrong")):
        with pytest.raises(NotServed, match="cannot be loaded"):
            require_certificate(chain, keyfile, password)


def test_with_a_ca_nothing_is_told(recwarn):
    for asks, authorities in ((ssl.CERT_REQUIRED, "ca.pem"), (ssl.CERT_NONE, None), (None, None)):
        warn_without_authorities(asks, authorities, "--ca-certs")
    assert not recwarn.list


@pytest.mark.parametrize("arguments, option", [
    (("uvicorn", "--ssl-certfile", "server.pem", "--ssl-cert-reqs", "2"), "--ssl-ca-certs"),
    (("gunicorn", "--certfile", "server.pem", "--cert-reqs", "2"), "--ca-certs")])
def test_without_a_ca_no_client_certificate_is_accepted(serve, tmp_path, arguments, option):
    """Nothing is served, because there is no such certificate or application."""
    (tmp_path / "server.pem").write_text("no certificate")
    told = "RuntimeWarning: pysidctx: clients are asked for certificates, but no CA is named"
    ran = serve(*arguments, "app:missing")
    assert told in ran.stderr and f"so none is accepted: pass {option}" in ran.stderr


# What is wrong with an installed server, and what is told.
SPOILT = {
    "not installed": ("sys.modules['{name}'] = None", "{name} is not installed: python -m pip install {name}"),
    "an old uvicorn": ("import uvicorn; uvicorn.run = lambda app: None", "has no ssl_context_factory: python -m pip "
                       "install 'uvicorn>=0.47'"),
    "another uvicorn": ("import uvicorn; uvicorn.main.callback = lambda **options: None",
                        "starts in another way than those that pysidctx knows"),
    "another hypercorn": ("import hypercorn.__main__; hypercorn.__main__.main = lambda arguments: None",
                          "starts in another way than those that pysidctx knows"),
}


@pytest.mark.parametrize("server, kind", [
    *((server, "not installed") for server in ("gunicorn", "hypercorn", "uvicorn")), ("uvicorn", "an old uvicorn"),
    ("uvicorn", "another uvicorn"), ("hypercorn", "another hypercorn")])
def test_a_server_that_cannot_be_hooked_into(serve, server, kind, request):
    if kind == "another uvicorn":
        request.getfixturevalue("hook_of_uvicorn")
    code, message = (text.format(name=server) for text in SPOILT[kind])
    ran = serve(server, "app:asgi", code=code)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "pysidctx serve: " in ran.stderr and message in ran.stderr


@pytest.fixture(scope="module")
def counting(start_lasting, request, tmp_path_factory):
    """A server that counts."""
    memory = tmp_path_factory.mktemp("stats") / "counts"
    with start_lasting(request.param, two_workers=True, environment={STATS: str(memory)}) as server:
        yield server


@pytest.mark.parametrize("counting", ["serve uvicorn", "serve hypercorn"], indirect=True)
def test_the_secret_goes_through_no_environment_and_no_argument(counting, returning):
    if not os.path.exists("/proc/self/environ"):
        pytest.skip("this system has no /proc")
    visits(returning[TLS13], [counting.port])
    parent = counting.processes[0].pid
    told = {child: [Path(f"/proc/{child}/{file}").read_bytes() for file in ("environ", "cmdline")]
            for child in children(parent)}
    environment = Path(f"/proc/{parent}/environ").read_bytes()
    assert len(told) >= 2
    for of_worker, arguments in told.values():
        assert {*of_worker.split(b"\0")} <= {*environment.split(b"\0")}
        assert re.sub(rb"\d+", b"", arguments) in {re.sub(rb"\d+", b"", other) for _, other in told.values()}
    assert [name for name in counting.folder.iterdir() if "secret" in name.name] == []


@pytest.mark.parametrize("counting", SERVED, indirect=True)
def test_stats_of_all_workers(counting, returning, capsys):
    memory = counting.environment[STATS]
    before = read_totals(memory).resumed_by_ticket
    resumed, _ = visits(returning[TLS13], [counting.port])
    capsys.readouterr()  # what was printed before
    assert main(["stats", memory]) == 0
    said = capsys.readouterr().out
    assert re.search(rf"^resumed by ticket: +{before + resumed}$", said, re.MULTILINE), said


@pytest.fixture(scope="module", ids=lambda param: param[0], params=[
    ("serve uvicorn", ("--ssl-ca-certs", "clients-ca.pem", "--ssl-cert-reqs", "2")),
    ("serve hypercorn", ("--ca-certs", "clients-ca.pem", "--verify-mode", "CERT_REQUIRED")),
    ("serve gunicorn", ("--ca-certs", "clients-ca.pem", "--cert-reqs", "2")),
])
def verifying(start_lasting, ca, request):
    """A server that demands client certificates."""
    name, options = request.param
    *arguments, app = SERVED[name].arguments
    found = SERVED[name]._replace(arguments=(*arguments, *options, app))
    with start_lasting(name, found=found, two_workers=True, client_cas=ca.cert_pem.bytes().decode(),
                       tls=False) as server:
        yield server


def test_with_client_certificates(verifying, pem_files, version):
    client = PythonClient(pem_files[1], version, pem_files[0])
    until(lambda: answers(client, verifying.port), "it does not answer")
    assert visits(client, [verifying.port], first=True)[0] == VISITS
    with pytest.raises(OSError):
        PythonClient(pem_files[1], version).visit(verifying.port)
    libssl.queued_reasons()  # Python's ssl may leave what happened to the client, such as EPIPE


def answers(client, port):
    with suppress(OSError):
        return client.visit(port)
    return None


@pytest.mark.parametrize("name", ["serve uvicorn", "serve hypercorn"])
def test_with_reload(start, returning, name):
    """The process that is spawned after a change has the same secret."""
    found = SERVED[name]._replace(arguments=tuple(
        argument for argument in (*SERVED[name].arguments, "--reload") if argument not in ("--workers", "4")))
    client = returning[TLS13]
    with start(name, found=found) as server:
        resumed, before = visits(client, [server.port], 5)
        assert (resumed, len(before)) == (4, 1)
        app = server.folder / "app.py"
        app.touch()

        def replaced():
            if time.time() - app.stat().st_mtime > 3:
                app.touch()  # the reloader had not yet looked at the file before the first change
            with suppress(OSError):
                resumed, process = client.visit(server.port)
                assert resumed
                return process not in before

        until(replaced, "it was not reloaded")


def test_a_single_process_of_uvicorn(start, returning):
    found = of_serve(*"python -m pysidctx serve uvicorn --ssl-certfile server.pem app:asgi".split())
    with start("serve uvicorn", found=found) as server:
        assert visits(returning[TLS13], [server.port])[0] == VISITS - 1


def test_a_worker_class_without_the_hook_is_replaced(start, returning, hook_of_uvicorn):
    found = SERVED["serve gunicorn"]
    found = found._replace(arguments=(*found.arguments[:-1], "-k", "uvicorn_worker.UvicornWorker", "app:asgi"))
    with start("serve gunicorn", found=found, two_workers=True) as server:
        assert visits(returning[TLS13], [server.port])[0] == VISITS - 1
        assert "Warning" not in server.log.read_text()


def test_the_hook_of_a_configuration_is_used(start, returning):
    files = {"gunicorn.conf.py": "def ssl_context(config, default_factory):\n"
                                 "    print('my hook', flush=True)\n    return default_factory()\n"}
    with start("serve gunicorn", files=files, two_workers=True) as server:
        assert visits(returning[TLS13], [server.port], 5)[0] == 0
        assert "my hook" in server.log.read_text()


@pytest.mark.parametrize("script", [False, True], ids=["python -m pysidctx", "pysidctx"])
def test_gunicorn_starts_anew(start, returning, secret, script):
    """By SIGUSR2, with the same arguments, as another master."""
    client, found = returning[TLS13], SERVED["serve gunicorn"]
    if script:
        assert found.arguments[:2] == ("-m", "pysidctx")
        found = found._replace(arguments=(program("pysidctx", "pysidctx"), *found.arguments[2:]))
    with start("serve gunicorn", found=found, files=OWN_MODULES, two_workers=True, secret=secret) as server:
        first = server.processes[0]
        _, before = visits(client, [server.port])
        first.send_signal(signal.SIGUSR2)
        until(lambda: any(len(children(child)) == 2 for child in children(first.pid)), "no other master has workers")
        first.send_signal(signal.SIGTERM)
        assert first.wait(30) == 0
        resumed, after = visits(client, [server.port], 10, first=True)
        assert resumed == 10 and not after & before


def test_what_hypercorn_cannot_do_is_told(serve, tmp_path):
    """It is not started, because its certificate cannot be loaded."""
    (tmp_path / "server.pem").write_text("no certificate")
    ran = serve("hypercorn", "--bind", "127.0.0.1:0", "--quic-bind", "127.0.0.1:0", "--certfile", "server.pem",
                "--keyfile", "server.pem", "--workers", "1", "--verify-mode", "CERT_REQUIRED", "app:asgi")
    assert "RuntimeWarning: pysidctx: QUIC connections are made without Python's ssl" in ran.stderr
    assert "so none is accepted: pass --ca-certs" in ran.stderr
    assert ran.returncode == 2 and "the certificate in 'server.pem' and its key in 'server.pem' cannot" in ran.stderr
