"""Keys and factories for processes that are spawned: where keys are from files, their paths are pickled."""

import copy
import pickle
from types import SimpleNamespace

import pytest
from tickets import visit

from pysidctx import TicketKeys
from pysidctx.servers import SSLContextFactory

SECRET = bytes(range(32))


@pytest.fixture
def secret_file(tmp_path, monkeypatch):
    """It is named by a relative path."""
    path = tmp_path / "secret"
    path.touch(0o600)
    path.write_bytes(SECRET)
    monkeypatch.chdir(tmp_path)
    return path.name


@pytest.fixture
def key_files(tmp_path, monkeypatch):
    names = "new", "old"
    for number, name in enumerate(names):
        path = tmp_path / name
        path.touch(0o600)
        path.write_bytes(bytes([number]) * 16 + bytes(range(32)))
    monkeypatch.chdir(tmp_path)
    return names


def pickled(value, folder, monkeypatch):
    """As another process has it, which is in another folder."""
    text = pickle.dumps(value)
    assert SECRET[:16] not in text
    with monkeypatch.context() as context:
        context.chdir("/")
        return pickle.loads(text)


@pytest.mark.parametrize("kind", ["secret", "nginx", "apache"])
def test_keys_from_files(kind, secret_file, key_files, tmp_path, monkeypatch, make_server_ctx, client_ctx):
    if kind == "secret":
        keys = TicketKeys.from_secret_file(secret_file, period=60, lifetime=600)
    else:
        keys = TicketKeys.from_files(key_files, layout=kind, lifetime=600)
    again = pickled(keys, tmp_path, monkeypatch)
    assert (again.period, again.lifetime) == (keys.period, 600)
    one, other = make_server_ctx(), make_server_ctx()
    keys.install(one)
    again.install(other)
    _, session = visit(one, client_ctx)
    assert visit(other, client_ctx, session)[0]


@pytest.mark.parametrize("make", [TicketKeys, lambda: TicketKeys.from_secret(SECRET)], ids=["random", "secret"])
@pytest.mark.parametrize("use", [
    pickle.dumps, copy.copy, copy.deepcopy, lambda keys: pickle.dumps(SSLContextFactory(keys)),
])
def test_a_secret_is_never_pickled(make, use):
    with pytest.raises(TypeError, match="from_secret_file"):
        use(make())


def test_a_factory(secret_file, tmp_path, monkeypatch, pem_files, make_server_ctx, client_ctx):
    config = SimpleNamespace(certfile=str(pem_files[0]))
    factory = SSLContextFactory(TicketKeys.from_secret_file(secret_file), id_context=b"shop", watch=["watched"],
                                max_age=60)
    ctx = factory(config, make_server_ctx)
    again = pickled(factory, tmp_path, monkeypatch)
    assert (again._id_context, again._watch, again._max_age) == (b"shop", ("watched",), 60)
    _, session = visit(ctx, client_ctx)
    assert visit(again(config, make_server_ctx), client_ctx, session)[0]
