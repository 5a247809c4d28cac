"""`make lint` finds nothing, a user's code and that of the documentation have the right types, and no file is long."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from machine import ROOT
from readme import EXAMPLES, PARTS, blocks


@pytest.mark.one_python
def test_nothing_is_found():
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run([ROOT / ".ci" / "lint"], env=dict(os.environ, PATH=path), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_python_code_and_a_user_s_code_pass_mypy(tmp_path):
    """With what mypy has kept of the test above."""
    user = tmp_path / "user.py"
    user.write_text("""
import ssl
from typing import Optional
import pysidctx
from pysidctx.servers import SSLContextFactory, session_cache, ssl_context_factory

ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
hosts = pysidctx.HostMap({"a.example": ctx, "b.example": b"bank"})
hosts["*.c.example"] = pysidctx.Host(ctx, b"shop")
hosts.update({"d.example": ctx}, localhost=bytearray(b"local"))
hosts.unmatched = "reject"
hosts.install(ctx)
matched: int = hosts.stats().matched
pattern: Optional[str] = hosts.match("x.c.example")
hosts["d.example"] = 1  # type: ignore[assignment]
hosts.unmatched = "refuse"  # type: ignore[assignment]
made: bytes = pysidctx.derive_session_id_context("shop", pysidctx.context_fingerprint(ctx))
pysidctx.set_session_id_context(ctx, made)
pysidctx.set_session_id_context(ctx, bytearray(made))
pysidctx.set_session_id_context(ctx, "shop")  # type: ignore[arg-type]
pysidctx.set_session_id_context(object(), made)  # type: ignore[arg-type]
folder: str = pysidctx.get_include()
client = ctx.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="a.example")
session: pysidctx.Session = pysidctx.Session.of(client, host="a.example")
session = pysidctx.Session.from_der(session.to_der(), id_context=b"shop")
session = pysidctx.Session.from_pem(session.to_pem(), id_context=None)
session.save("session.pem")
session = pysidctx.Session.load(b"session.pem", id_context=bytearray(b"shop"), shared=True)
session.with_id_context(b"bank").resume_on(client, any_host=True)
certificate: Optional[bytes] = session.peer_certificate
ends: str = (session.time + session.timeout).isoformat()
pysidctx.Session.from_der(b"")  # type: ignore[call-arg]
pysidctx.Session.of(ctx)  # type: ignore[arg-type]
session.id = b""  # type: ignore[misc]
keys = pysidctx.TicketKeys(period=600, lifetime=7200)
keys = pysidctx.TicketKeys.from_secret(bytearray(32), period=60)
keys = pysidctx.TicketKeys.from_secret_file("secret")
keys = pysidctx.TicketKeys.from_files(["new", b"old"], layout="apache")
keys.install(ctx)
kept: ssl.SSLContext = pysidctx.resumable(ctx, keys, id_context=b"shop")
kept = pysidctx.resumable(ctx, keys, exact_id_context=bytearray(b"shop"))
accepted: int = keys.stats().accepted
seconds: Optional[int] = keys.period
pysidctx.resumable(ctx, b"secret")  # type: ignore[arg-type]
built: ssl.SSLContext = ssl_context_factory(object(), lambda: ctx)
SSLContextFactory(keys, id_context=b"shop")(object(), lambda: ctx).load_default_certs()
cache = pysidctx.SessionCache.from_secret_file("secret", memory="/dev/shm/shop", size=1 << 20)
cache.install(kept, when="always")
cache.install(kept, "sometimes")  # type: ignore[arg-type]
cache.forget(peer=b"")
hits: int = cache.stats().hits
kept = pysidctx.resumable(ctx, keys, cache=cache)
SSLContextFactory(keys, cache=cache)
SSLContextFactory(keys, cache="/dev/shm/shop")  # type: ignore[arg-type]
found: Optional[pysidctx.SessionCache] = session_cache()
""")
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(user), "pysidctx"],
        capture_output=True, text=True, cwd=ROOT,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_documentation_s_code_passes_mypy(tmp_path):
    """The examples beside each other, as those need it that import another one; their parts are in them.

    With what mypy has kept of the tests above, which takes options that say the same of what both import.
    """
    files = {f"block_{number}.py": code for number, code in enumerate(blocks("python")) if code not in PARTS}
    files.update((name.replace(".conf", "_conf"), code) for name, code in EXAMPLES.items())
    if sys.version_info >= (3, 15):
        del files["serve_fastapi.py"]  # pyproject.toml leaves FastAPI out there
    for name, code in files.items():
        (tmp_path / name).write_text(code)
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--untyped-calls-exclude=Cython",
         f"--cache-dir={ROOT / '.mypy_cache'}", *files],
        cwd=tmp_path, capture_output=True, text=True, env=dict(os.environ, MYPYPATH=str(ROOT)))
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.one_python
@pytest.mark.parametrize("folder", ["benchmarks", "tests"])
def test_no_file_is_long(folder, tracked_files):
    long = {name: lines for name in tracked_files if name.startswith(f"{folder}/")
            if (lines := len((ROOT / name).read_text().splitlines())) > 500}
    assert long == {}
