"""`pysidctx doctor` of real servers: its advice is followed until all is well."""

import pytest
from doctors import Diagnosed, follow
from peers import Peer, nginx
from server_programs import PROGRAMS

from loopback.processes import wait_until
from pysidctx.__main__ import main
from pysidctx.cli.doctor.listener import listener

WITHOUT_HOOK = {"gunicorn uvicorn": "pysidctx.servers.uvicorn_worker.UvicornWorker",
                "gunicorn aiohttp": "pysidctx.servers.aiohttp_worker.GunicornWebWorker"}


pytestmark = pytest.mark.usefixtures("no_system_cas")


@pytest.fixture
def doctor(pem_files, tmp_path, monkeypatch, capsys):
    """Run it in another folder, with another environment than the server's."""
    monkeypatch.chdir(tmp_path)

    def run(server, *arguments):
        capsys.readouterr()  # what was printed before
        code = main(["doctor", f"127.0.0.1:{server.port}", "--json", "--name", "a.test", "--ca-file",
                     str(pem_files[1]), *arguments])
        said, errors = capsys.readouterr()
        assert errors == ""
        found = Diagnosed(said, code)
        assert found.code == bool(found.said["faults"])
        return found
    return run


def test_plain_gunicorn_becomes_well(start, doctor):
    """By its advice alone, which it also gives where there is no file yet."""
    with start("gunicorn", plain=True, two_workers=True, files={}) as server:
        (server.folder / "gunicorn.conf.py").unlink(missing_ok=True)
        found = doctor(server)
        assert {(each["section"], each["check"]) for each in found.graded("fault")} == {
            ("gunicorn", "hook"), ("port", "resumption")}
        assert found.grades("process", "loaded") == ["note"]
        (hook,) = found.found("gunicorn", "hook")
        assert f"write {server.folder}/gunicorn.conf.py" in hook["do"]
        follow(hook["do"])

        found = doctor(server)  # not yet restarted
        assert found.grades("gunicorn", "hook") == ["ok"] and found.grades("process", "loaded") == ["note"]
        assert "restart the server" in found.found("process", "loaded")[0]["do"]

        restart(server)
        found = doctor(server)
        assert not found.graded("fault", "note")
        assert found.grades("process", "loaded") == ["ok"]


@pytest.mark.parametrize("name", WITHOUT_HOOK)
def test_a_worker_class_that_does_not_call_the_hook(start, doctor, name):
    files = {"gunicorn.conf.py": PROGRAMS["gunicorn"].files["gunicorn.conf.py"]}
    with start(name, files=files, arguments=PROGRAMS[name].with_workers(2).plain_arguments) as server:
        (fault,) = doctor(server).found("gunicorn", "worker-class")
        assert fault["grade"] == "fault" and f'"{WITHOUT_HOOK[name]}"' in fault["do"]
    with start(name, two_workers=True) as server:
        assert not doctor(server).graded("fault", "note")


def test_a_server_that_spawns_its_workers(start, doctor, secret):
    """Without a secret, each has keys of its own; the advice is to write one."""
    with start("uvicorn", two_workers=True) as server:
        found = doctor(server)
        assert found.grades("process", "loaded") == ["ok"]
        (note,) = found.found("secret", "secret")
        assert note["grade"] == "note" and "starts its workers anew" in note["seen"]
        assert "`pysidctx secret PATH`" in note["do"]
    with start("uvicorn", two_workers=True, secret=secret) as server:
        found = doctor(server)
        assert not found.graded("fault", "note")
        assert "is not gunicorn" in found.found("gunicorn", "gunicorn")[0]["seen"]
        assert str(secret) in found.found("secret", "secret")[0]["seen"]
        secret.chmod(0o644)
        assert "mode 0644" in doctor(server).one("fault")["seen"]


@pytest.mark.parametrize("name", ["serve gunicorn", "serve uvicorn"])
def test_pysidctx_serve(start, doctor, name):
    """It sets the hook, and a secret that all workers share."""
    with start(name, two_workers=True) as server:
        found = doctor(server)
        assert not found.graded("fault", "note")
        if "gunicorn" in name:
            (hook,) = found.found("gunicorn", "hook")
            assert "`pysidctx serve` sets it" in hook["seen"]
        else:
            (gunicorn,) = found.found("gunicorn", "gunicorn")
            assert "`pysidctx serve` sets the hook" in gunicorn["seen"] and not gunicorn["do"]
        (secret,) = found.found("secret", "secret")
        assert "`pysidctx serve` has started share it" in secret["seen"] and "hypercorn" not in secret["do"]
        (process,) = found.found("process", "process")
        assert f"pysidctx {name} ..., in" in process["seen"]


def test_a_proxy_in_front_of_it(doctor, folder):
    with Peer(nginx, folder) as peer:
        (note,) = doctor(peer, "--connections", "2").found("process", "process")
    assert note["grade"] == "note" and "nginx, and not Python" in note["seen"]


def test_the_master_is_found_and_not_a_worker(start):
    with start("gunicorn", two_workers=True) as server:
        found = listener(f"127.0.0.1:{server.port}")
        assert found is not None and found.number == server.processes[0].pid
        assert found.gunicorn_arguments is not None and "--certfile" in found.gunicorn_arguments
        assert found.first_folder == str(server.folder)
        assert not found.spawns


def restart(server):
    server.stop()
    server.processes[:] = [server.started()]
    wait_until(server.greet, server.processes[0], server.folder)
