"""gunicorn's hook under worker classes that call it, and under those that do not; and keys of one worker."""

import pytest
from machine import module
from server_programs import GUNICORN, PROGRAMS, VISITS, visits

WITHOUT_HOOK = {
    "gunicorn uvicorn": ("uvicorn_worker._workers.UvicornWorker", "pysidctx.servers.uvicorn_worker.UvicornWorker"),
    "gunicorn aiohttp": ("aiohttp.worker.GunicornWebWorker", "pysidctx.servers.aiohttp_worker.GunicornWebWorker"),
}


@pytest.mark.parametrize("name", WITHOUT_HOOK)
def test_worker_classes_that_do_not_call_the_hook(start, returning, name):
    """The log names the class that does."""
    files = {"gunicorn.conf.py": GUNICORN}
    with start(name, files=files, arguments=PROGRAMS[name].with_workers(2).plain_arguments) as server:
        counts = [visits(client, [server.port], 6)[0] for client in returning]
        said = server.log.read_text()
    theirs, ours = WITHOUT_HOOK[name]
    assert said.count(
        f"RuntimeWarning: pysidctx: the worker class {theirs} does not call gunicorn's hook ssl_context") == 1
    assert f'set worker_class = "{ours}"' in said
    print(f"{name}, the hook unheard: {counts} of 5")


@pytest.mark.parametrize("name", WITHOUT_HOOK)
def test_ours_call_the_hook_of_the_configuration(start, returning, name, secret):
    """They do not call their own hook: the two servers have one secret and two names."""
    configuration = PROGRAMS[name].files["gunicorn.conf.py"] + (
        "import pysidctx, pysidctx.servers\n"
        "ssl_context = pysidctx.servers.SSLContextFactory(\n"
        "    pysidctx.TicketKeys.from_secret_file(), id_context={!r})\n")

    def serving(id_context):
        files = {"gunicorn.conf.py": configuration.format(id_context)}
        return start(name, files=files, secret=secret, two_workers=True)

    with serving(b"shop") as one, serving(b"bank") as other:
        for client in returning:
            assert visits(client, [one.port, other.port], 6)[0] == 0
            assert visits(client, [one.port], 6)[0] == 5
        assert "RuntimeWarning" not in one.log.read_text()


@pytest.mark.parametrize("name", ["gunicorn", *WITHOUT_HOOK])
def test_nothing_is_said_where_nothing_is_wrong(start, returning, name):
    with start(name, two_workers=True) as server:
        assert visits(returning[1], [server.port])[0] == VISITS - 1
        assert "Warning" not in server.log.read_text()


IN_A_FUNCTION = """
def ssl_context(config, default_factory):
    from pysidctx.servers import ssl_context_factory
    return ssl_context_factory(config, default_factory)
"""
KEYS_IN_A_FUNCTION = """
import pysidctx.servers

def ssl_context(config, default_factory):
    global factory
    if factory is None:
        factory = pysidctx.servers.SSLContextFactory(pysidctx.TicketKeys())
    return factory(config, default_factory)

factory = None
"""


@pytest.mark.parametrize("configuration", [IN_A_FUNCTION, KEYS_IN_A_FUNCTION], ids=["import", "keys"])
def test_keys_that_are_made_after_the_fork(start, returning, configuration):
    with start("gunicorn", files={"gunicorn.conf.py": configuration}, two_workers=True) as server:
        counts = [visits(client, [server.port], 6)[0] for client in returning]
        said = server.log.read_text()
    assert "RuntimeWarning: pysidctx: this worker was forked before its ticket keys were created" in said
    assert "at the top of gunicorn.conf.py" in said and "PYSIDCTX_SECRET_FILE" in said
    print(f"keys of one worker each: {counts} of 5")


def test_an_import_in_a_function_is_right_with_a_secret(start, returning, secret):
    with start("gunicorn", files={"gunicorn.conf.py": IN_A_FUNCTION}, secret=secret, two_workers=True) as server:
        assert visits(returning[1], [server.port])[0] == VISITS - 1
        assert "Warning" not in server.log.read_text()


def test_an_empty_variable_stops_gunicorn_at_its_start(start):
    with pytest.raises(AssertionError, match="the environment variable PYSIDCTX_SECRET_FILE is empty: write a"):
        with start("gunicorn", secret=""):
            pass


def test_a_uvicorn_without_a_hook_is_told(start, returning):
    if hasattr(module("uvicorn", "uvicorn").Config(None, log_config=None), "ssl_context_factory"):
        pytest.skip("this uvicorn has the hook; the newest for Python 3.9 has none")
    program = PROGRAMS["gunicorn uvicorn"]
    with start("gunicorn", files=program.files, arguments=program.arguments) as server:
        assert "RuntimeWarning: pysidctx: this uvicorn has no ssl_context_factory" in server.log.read_text()
        assert visits(returning[0], [server.port], 10)[0] < 9
