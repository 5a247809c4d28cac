"""`doctor`: faults of the environment, of the secret and of gunicorn's configuration, each of which is really there."""

import base64
import copy
import inspect
import os
import secrets
import subprocess
import sys

import pytest
from doctors import Diagnosed
from machine import module

from pysidctx import TicketKeys
from pysidctx.__main__ import main
from pysidctx.cli.doctor import command, gunicorn_settings, secret_file
from pysidctx.cli.doctor.port import Checked

COMMAND = [sys.executable, "-m", "pysidctx", "doctor"]
HOOK = "from pysidctx.servers import ssl_context_factory as ssl_context\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory, and an environment without variables of pysidctx or gunicorn."""
    for name in os.environ:
        if name.upper().startswith("PYSIDCTX_") or name == "GUNICORN_CMD_ARGS":
            monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}")
    made = tmp_path / "server"
    made.mkdir()
    monkeypatch.chdir(made)
    return made


@pytest.fixture(scope="module", autouse=True)
def plain_environment_is_rehearsed_once():
    """What pysidctx.servers makes of an environment that names nothing of it is the same each time, for a process."""
    real, known = command.rehearse, []

    def rehearse(arguments, environment, folder):
        if arguments is not None or any(name.upper().startswith("PYSIDCTX_") for name in environment):
            return real(arguments, environment, folder)
        if not known:
            known.append(real(arguments, environment, folder))
        return copy.deepcopy(known[0])

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(command, "rehearse", rehearse)
        yield


@pytest.fixture
def secret(folder):
    path = folder / "tickets.secret"
    path.touch(0o600)
    path.write_bytes(secrets.token_bytes(32))
    return path


def state(folder):
    """All files below a folder: what tells that one was created, changed or removed."""
    return {str(path): (path.lstat().st_mode, path.lstat().st_mtime_ns, path.lstat().st_ino, path.lstat().st_size)
            for path in [folder, *folder.rglob("*")]}


@pytest.fixture
def doctor(folder, monkeypatch, capsys):
    """Run the command, which changes nothing."""
    def run(*arguments, **environment):
        with monkeypatch.context() as patched:
            for name, value in environment.items():
                patched.setenv(name, str(value))
            before = state(folder)
            code = main(["doctor", "--json", *map(str, arguments)])
            assert state(folder) == before
        out, err = capsys.readouterr()
        assert err == ""
        found = Diagnosed(out, code)
        assert code == bool(found.said["faults"])
        return found
    return run


@pytest.fixture
def with_configuration(folder, doctor):
    """Run it on a configuration file of gunicorn."""
    module("gunicorn", "gunicorn")

    def run(code, *arguments, **environment):
        (folder / "gunicorn.conf.py").write_text(code)
        return doctor(*arguments, **environment)
    return run


def test_nothing_is_known(doctor):
    found = doctor()
    assert [each["section"] for each in found.findings] == ["environment", "secret", "gunicorn", "port"]
    assert not found.graded("fault", "note")
    assert found.said["target"] is found.said["port"] is None


def test_all_is_well(with_configuration, folder, secret, pem_files):
    memory = {"PYSIDCTX_CACHE": folder / "cache", "PYSIDCTX_STATS": folder / "stats"}
    found = with_configuration(f"{HOOK}workers = 4\ncertfile = {str(pem_files[0])!r}\n", PYSIDCTX_SECRET_FILE=secret,
                               **memory)
    assert not found.graded("fault", "note")
    assert found.grades("secret", "secret") == found.grades("gunicorn", "hook") == ["ok"]
    fingerprint = TicketKeys.from_secret_file(secret).fingerprint
    assert found.found("secret", "secret")[0]["seen"].endswith(f" is {fingerprint}")
    assert found.grades("gunicorn", "worker-class") == found.grades("gunicorn", "certificate") == ["ok"]
    seen = [each["seen"] for each in found.found("environment", "variable")]
    assert len(seen) == 2 and all("does not exist yet" in each for each in seen)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o602])
def test_others_can_read_the_secret(doctor, secret, mode):
    secret.chmod(mode)
    if mode == 0o640 and os.geteuid() == 0:  # a file of root's, which its group may read
        assert doctor(PYSIDCTX_SECRET_FILE=secret).grades("secret", "secret") == ["ok"]
        return
    fault = doctor(PYSIDCTX_SECRET_FILE=secret).one("fault")
    assert f"mode {mode:04o}" in fault["seen"] and f"`chmod 600 {secret}`" in fault["do"]
    with pytest.raises(ValueError) as refused:  # by the server, with the same advice
        TicketKeys.from_secret_file(secret)
    assert fault["do"].partition(": ")[2] in str(refused.value)
    subprocess.run(["chmod", "600", secret], check=True)
    assert doctor(PYSIDCTX_SECRET_FILE=secret).grades("secret", "secret") == ["ok"]


def test_there_is_no_secret(doctor, folder):
    fault = doctor(PYSIDCTX_SECRET_FILE="none").one("fault")
    assert "does not exist" in fault["seen"] and f"`pysidctx secret {folder / 'none'}` writes one" in fault["do"]


@pytest.mark.parametrize("value, seen", [("", "is empty"), (".", "cannot be read: Is a directory"),
                                         ("short", "is 5 bytes long"), ("pipe", "is not a regular file")])
def test_what_is_no_secret(doctor, folder, key_file, value, seen):
    (folder / "short").touch(0o600)
    (folder / "short").write_bytes(b"short")
    os.mkfifo(folder / "pipe", 0o600)
    fault = doctor(PYSIDCTX_SECRET_FILE=value).one("fault")
    assert (fault["section"], fault["check"]) == ("secret", "secret")
    assert seen in fault["seen"] and "pysidctx secret" in fault["do"]


def test_this_user_cannot_read_the_secret(monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)
    monkeypatch.setattr(secret_file.secret_files, "read", refuse)
    (found,) = secret_file.secret_findings("/run/secret")
    assert found.grade == "fault" and "cannot be read by" in found.seen and "as the user of the server" in found.do


@pytest.mark.parametrize("content, check, grade", [
    (b"0123456789abcdef" * 4 + b"\n", "secret-text", "info"), (b"\0" * 32, "secret-weak", "note")],
    ids=["text", "zeros"])
def test_a_secret_that_is_odd(doctor, secret, content, check, grade):
    secret.write_bytes(content)
    found = doctor(PYSIDCTX_SECRET_FILE=secret)
    assert found.grades("secret", "secret") == ["ok"]
    assert found.grades("secret", check) == [grade]


@pytest.mark.parametrize("seconds, told", [(-60, True), (60, False), (None, False)])
def test_the_server_was_started_before_the_secret_was_changed(secret, seconds, told):
    secret.write_bytes(secrets.token_bytes(32))
    os.utime(secret, (0, 0))  # as a file that was moved there
    started = seconds if seconds is None else secret.stat().st_ctime + seconds
    found = {each.check: each for each in secret_file.secret_findings(str(secret), started=started)}
    assert found["secret"].grade == "ok" and ("secret-changed" in found) == told
    assert not told or (found["secret-changed"].grade, found["secret-changed"].do) == ("note", "restart the server")


def test_no_secret_is_printed(folder, secret, capsys, monkeypatch):
    monkeypatch.setenv("PYSIDCTX_SECRET_FILE", str(secret))
    monkeypatch.setenv("PYSIDCTX_SECRET", "correct horse battery staple")
    (folder / "gunicorn.conf.py").write_text(f"{HOOK}raw_env = ['PYSIDCTX_KEY=another horse']\n")
    content = secret.read_bytes()
    for options in ([], ["--json"]):
        assert main(["doctor", *options]) == 1
        printed = capsys.readouterr().out
        assert "PYSIDCTX_SECRET is not known" in printed and "PYSIDCTX_KEY is not known" in printed
        for shown in ("horse", content.hex(), base64.b64encode(content).decode(), repr(content)[2:-1]):
            assert shown not in printed


def test_a_misspelt_variable(doctor):
    fault = doctor(PYSIDCTX_SECRETFILE="x").one("fault")
    assert "PYSIDCTX_SECRETFILE is not known" in fault["seen"] and "did you mean PYSIDCTX_SECRET_FILE?" in fault["do"]


@pytest.mark.parametrize("variables, seen", [
    ({"CACHE_SIZE": "x"}, "CACHE_SIZE is 'x', which is not a whole number"),
    ({"CACHE_WHEN": "never"}, "CACHE_WHEN is 'never'"),
    ({"STATS": ""}, "STATS is empty"),
    ({"CACHE": "cache"}, "PYSIDCTX_SECRET_FILE is not set"),
    ({"CACHE_SIZE": "4194304"}, "PYSIDCTX_CACHE is not set"),
    ({"CACHE": "none/cache", "SECRET_FILE": "tickets.secret"}, "No such file or directory"),
    ({"CACHE": "cache", "CACHE_SIZE": str(1 << 39), "SECRET_FILE": "tickets.secret"}, "No space left on device"),
    ({"CACHE": "cache", "CACHE_SIZE": "1", "SECRET_FILE": "tickets.secret"}, "size must be"),
    ({"STATS": "."}, "is not a regular file"),
    ({"STATS": "tickets.secret"}, "contains no counts of pysidctx"),
])
def test_a_variable_that_has_no_effect(doctor, secret, variables, seen):
    """The message is the one with which the server would refuse it."""
    found = doctor(**{f"PYSIDCTX_{name}": value for name, value in variables.items()})
    fault = found.one("fault")
    assert (fault["section"], fault["check"]) == ("environment", "variable")
    assert seen in fault["seen"] and fault["do"]


def serve(**environment):
    """Do what a server does with its environment."""
    subprocess.run([sys.executable, "-W", "error", "-c", "import pysidctx.servers"], check=True,
                   env={**os.environ, **{name: str(value) for name, value in environment.items()}})


def test_files_that_exist(doctor, folder, secret):
    variables = {"PYSIDCTX_SECRET_FILE": secret, "PYSIDCTX_CACHE": folder / "cache", "PYSIDCTX_STATS": folder / "stats",
                 "PYSIDCTX_CACHE_SIZE": 4 << 20}
    serve(**variables)
    found = doctor(**variables)
    assert not found.graded("fault", "note")
    assert sum("which exists" in each["seen"] for each in found.found("environment", "variable")) == 2
    (folder / "cache").chmod(0o666)
    assert "has mode 0666" in doctor(**variables).one("fault")["seen"]
    (folder / "cache").chmod(0o600)
    secret.write_bytes(secrets.token_bytes(32))
    assert "was made with another secret" in doctor(**variables).one("fault")["seen"]


CONFIGURATIONS = {
    "no hook": ("workers = 4\n", "hook", "fault", "ssl_context is not set"),
    "hook": (HOOK, "hook", "ok", "ssl_context is pysidctx.servers.ssl_context_factory"),
    "own keys": ("import pysidctx, pysidctx.servers\n"
                 "ssl_context = pysidctx.servers.SSLContextFactory(pysidctx.TicketKeys())\n", "hook", "ok",
                 "ssl_context is a pysidctx.servers.SSLContextFactory"),
    "own function": ("import pysidctx.servers\ndef ssl_context(config, default):\n    return default()\n", "hook",
                     "info", "cannot be told"),
    "import in a function": ("def ssl_context(config, default):\n    import pysidctx.servers\n    return default()\n",
                             "hook", "note", "does not import pysidctx.servers"),
    "no callable": ("ssl_context = 3\n", "configuration", "fault", "TypeError: Value is not callable: 3"),
    "syntax": ("x = 1\ndef (\n", "configuration", "fault", "SyntaxError: invalid syntax (line 2)"),
    "error": ("x = 1\n1 / 0\n", "configuration", "fault", "ZeroDivisionError: division by zero (line 2)"),
    "exit": ("import sys\nsys.exit('no database')\n", "configuration", "fault", "it ends the program"),
    "_exit": ("import os\nos._exit(3)\n", "configuration", "fault", "it ends the program, with exit code 3"),
    "signal": ("import os\nos.kill(os.getpid(), 9)\n", "configuration", "fault", "it ends the program, with signal 9"),
    "certificate": ("certfile = 'none.pem'\n" + HOOK, "certificate", "fault", "does not exist or cannot be read"),
    "output": ("import sys\nprint('words', file=sys.stderr)\nprint('words')\n" + HOOK, "hook", "ok",
               "ssl_context_factory"),
    "warning": (HOOK + "import pysidctx\nimport warnings\nwarnings.warn('pysidctx: that is bad: set another',"
                "RuntimeWarning)\n", "warning", "fault", "that is bad"),
}


@pytest.mark.parametrize("code, check, grade, seen", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_configurations(with_configuration, code, check, grade, seen):
    (found,) = with_configuration(code).found("gunicorn", check)
    assert found["grade"] == grade and seen in found["seen"]
    assert found["do"] or grade == "ok"


@pytest.mark.parametrize("code, told", [("import os\nos.environ['NONE']\n", "KeyError: 'NONE'"),
                                        ("x = 1\ndef (\n", "SyntaxError: invalid syntax")])
def test_the_module_with_an_error_is_named(with_configuration, folder, code, told):
    (folder / "helper.py").write_text(code)
    fault = with_configuration("import helper\n").one("fault")
    assert f"{told} ({folder / 'helper.py'}, line 2)" in fault["seen"]


def test_a_configuration_that_opens_files_creates_none(with_configuration, folder, secret):
    """What pysidctx would share is in memory meanwhile, whoever names it."""
    code = ("import os, pysidctx\nos.environ['PYSIDCTX_STATS'] = 'stats'\n"
            f"cache = pysidctx.SessionCache.from_secret_file({str(secret)!r}, memory='cache', size=4 << 20)\n"
            "cache.forget_all()\n"
            "from pysidctx.servers import SSLContextFactory, stats\nassert stats().memory.endswith('/stats')\n"
            "ssl_context = SSLContextFactory(pysidctx.TicketKeys(), cache=cache)\n")
    found = with_configuration(code)
    assert found.grades("gunicorn", "hook") == ["ok"]
    (variable,) = found.found("environment", "variable")
    assert variable["seen"].startswith("PYSIDCTX_STATS is 'stats'")


WORKER_CLASSES = {
    "sync": ("ok", ""), "gthread": ("ok", ""), "gevent": ("ok", ""), "tornado": ("ok", ""),
    "aiohttp.GunicornWebWorker": ("fault", "pysidctx.servers.aiohttp_worker.GunicornWebWorker"),
    "aiohttp.worker.GunicornUVLoopWebWorker": ("fault", "pysidctx.servers.aiohttp_worker.GunicornUVLoopWebWorker"),
    "uvicorn_worker.UvicornWorker": ("fault", "pysidctx.servers.uvicorn_worker.UvicornWorker"),
    "pysidctx.servers.aiohttp_worker.GunicornWebWorker": ("ok", ""),
    "pysidctx.servers.uvicorn_worker.UvicornWorker": ("ok", ""),
    "own.Worker": ("ok", ""), "own.Strange": ("info", "check the port"), "none.Worker": ("fault", "install"),
}


@pytest.mark.parametrize("name", WORKER_CLASSES)
def test_worker_classes(with_configuration, folder, name):
    grade, do = WORKER_CLASSES[name]
    if grade != "fault" or do != "install":
        for package in {"gevent": ["gevent"], "tornado": ["tornado"]}.get(name, [name.partition(".")[0]]):
            if package not in ("sync", "gthread", "own", "pysidctx"):
                module(package, package)
    (folder / "own.py").write_text("from gunicorn.workers.base import Worker as Strange_\nfrom gunicorn.workers.sync "
                                   "import SyncWorker\nclass Worker(SyncWorker): pass\nclass Strange(Strange_): pass\n")
    found = with_configuration(f"{HOOK}worker_class = {name!r}\n")
    (worker,) = found.found("gunicorn", "worker-class")
    old = "uvicorn" in name and "ssl_context_factory" not in inspect.signature(uvicorn_config()).parameters
    if old and "servers" in name:
        grade, do = "fault", "install uvicorn 0.47 or later"
    assert worker["grade"] == grade and do in worker["do"]
    if "servers" in do and not old:  # follow the advice
        assert not with_configuration(HOOK + worker["do"].partition("set ")[2] + "\n").graded("fault", "note")


def uvicorn_config():
    return module("uvicorn", "uvicorn").Config.__init__


def test_our_worker_class_needs_no_hook(with_configuration):
    module("aiohttp", "aiohttp")
    found = with_configuration("worker_class = 'pysidctx.servers.aiohttp_worker.GunicornWebWorker'\n")
    assert found.grades("gunicorn", "hook") == ["ok"]


def test_where_gunicorn_finds_its_configuration(doctor, folder):
    module("gunicorn", "gunicorn")
    (folder / "sub").mkdir()
    (folder / "sub" / "one.py").write_text("workers = 3\n")
    for arguments, environment in ((["--config", "sub/one.py"], {}), (["--gunicorn", "-c sub/one.py app:wsgi"], {}),
                                   ([], {"GUNICORN_CMD_ARGS": "-c sub/one.py"}),
                                   (["--config", "file:sub/one.py"], {}),
                                   (["--gunicorn", "--chdir sub -c sub/one.py"], {})):
        seen = doctor(*arguments, **environment).found("gunicorn", "configuration")[0]["seen"]
        assert str(folder / "sub" / "one.py") in seen and "workers = 3" in seen
    fault = doctor("--config", "none.py").one("fault")
    assert fault["check"] == "configuration" and "none.py' doesn't exist" in fault["seen"]


def test_the_configuration_finds_its_modules(with_configuration, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "common_settings.py").write_text("workers = 7\n")
    found = with_configuration(f"from common_settings import workers\n{HOOK}", PYTHONPATH=tmp_path / "elsewhere")
    assert "workers = 7" in found.found("gunicorn", "configuration")[0]["seen"]


def test_arguments_of_gunicorn(doctor, pem_files):
    module("gunicorn", "gunicorn")
    found = doctor("--gunicorn", "--workers 3 app:wsgi")
    assert found.grades("gunicorn", "certificate") == ["fault"]
    found = doctor("--gunicorn", f"--workers 3 --certfile {pem_files[0]} app:wsgi")
    assert found.grades("gunicorn", "certificate") == ["ok"]
    fault = doctor("--gunicorn=--nonsense").one("fault")
    assert "unrecognized arguments: --nonsense" in fault["seen"]


def test_arguments_that_cannot_be_parted(folder, capsys):
    assert main(["doctor", "--gunicorn", "'"]) == 2
    assert "cannot be parted into arguments: No closing quotation" in capsys.readouterr().err


def test_the_command_gunicorn_is_that_of_another_python(with_configuration, tmp_path, monkeypatch):
    script = tmp_path / "gunicorn"
    script.touch(0o755)
    script.write_text("#!/opt/other/bin/python3\n")
    found = with_configuration(HOOK, PATH=tmp_path)
    (note,) = found.graded("note")
    assert note["check"] == "program" and "`/opt/other/bin/python3 -m pysidctx doctor`" in note["do"]


def test_gunicorn_is_not_installed(with_configuration, doctor, monkeypatch):
    monkeypatch.setattr(gunicorn_settings, "is_installed", lambda: False)
    assert doctor().grades("gunicorn", "gunicorn") == ["info"]
    assert with_configuration(HOOK).grades("gunicorn", "gunicorn") == ["fault"]


def test_text_says_the_same(with_configuration, capsys, secret, monkeypatch):
    secret.chmod(0o644)
    monkeypatch.setenv("PYSIDCTX_SECRET_FILE", str(secret))
    found = with_configuration("workers = 4\n")
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    for each in found.findings:
        assert f"{each['grade']:<7}{each['seen']}" in lines
        assert not each["do"] or f"       do: {each['do']}" in lines
    assert lines[-1] == f"faults: {found.said['faults']}, notes: {found.said['notes']}"


def test_it_needs_no_other_package(folder, server_without_packages):
    ran = server_without_packages("127.0.0.1:9")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "note   the port was not checked, because that needs the package cryptography" in ran.stdout
    assert "gunicorn is not installed for" in ran.stdout
    assert server_without_packages("--json").returncode == 0


@pytest.fixture
def server_without_packages(folder):
    def run(*arguments):
        for package in ("rich", "cryptography", "trustme"):
            (folder / f"{package}.py").write_text(f"raise ModuleNotFoundError('none', name={package!r})")
        code = ("import sys; from pysidctx.cli.doctor import gunicorn_settings; from pysidctx.__main__ import main; "
                "gunicorn_settings.is_installed = lambda: False; sys.exit(main(['doctor', *sys.argv[1:]]))")
        return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)
    return run


def test_exit_codes(folder, secret, monkeypatch, capsys):
    secret.write_bytes(b"\0" * 32)
    monkeypatch.setenv("PYSIDCTX_SECRET_FILE", str(secret))
    assert main(["doctor"]) == 0
    assert main(["doctor", "--fail-on", "note"]) == 1
    monkeypatch.setattr(command, "checked", lambda *arguments: Checked([], None, False))
    assert main(["doctor", "127.0.0.1:9"]) == command.UNFINISHED == 3
    monkeypatch.setenv("PYSIDCTX_X", "x")
    assert main(["doctor", "127.0.0.1:9"]) == 1


def test_a_configuration_that_never_ends(with_configuration, monkeypatch):
    monkeypatch.setattr("pysidctx.cli.doctor.rehearse.SECONDS", 1)
    (found,) = with_configuration("import time\ntime.sleep(1000)\n").found("gunicorn", "configuration")
    assert found["grade"] == "fault" and "it had not ended after 1 seconds" in found["seen"]
