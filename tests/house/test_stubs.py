"""The type stubs say what the built modules have."""

import subprocess
import sys

from machine import ROOT

# Modules that are Python themselves, and those of Cython that none of Python uses.
WITHOUT_STUB = "|".join(
    r"\.".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / "pysidctx").rglob("*.py*")
    if path.suffix in (".py", ".pyx") and not path.with_suffix(".pyi").exists())


def test_stubtest(tmp_path):
    allowed = tmp_path / "allowed"
    # What Cython adds; what is for Cython alone; what Cython gives no signature; what has no stub
    # because it is Python itself.
    allowed.write_text("pysidctx\\..*\\.(__test__|__pyx_capi__|_C_API|__(reduce|setstate)_cython__)\n"
                       "pysidctx\\.hosts\\.hostmap\\.Installation\n"
                       "pysidctx\\..*TicketKeys\\.__(init|new)__\n"
                       f"({WITHOUT_STUB})(\\..*)?\n")
    ran = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "pysidctx", "--allowlist", str(allowed),
         "--ignore-unused-allowlist", "--mypy-config-file", str(ROOT / "pyproject.toml")],
        capture_output=True, text=True, cwd=ROOT,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_python_code_and_a_user_s_code_pass_mypy(tmp_path):
    user = tmp_path / "user.py"
    user.write_text("""
import ssl
from typing import Optional
import pysidctx
from pysidctx.servers import SSLContextFactory, ssl_context_factory

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
""")
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"),
         "--cache-dir", str(tmp_path / "cache"), str(user), "pysidctx"],
        capture_output=True, text=True, cwd=ROOT,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
