"""The type stubs say what the built modules have."""

import subprocess
import sys

from machine import ROOT


def test_stubtest(tmp_path):
    allowed = tmp_path / "allowed"
    # What Cython adds; what is for Cython alone; what has no stub because it is Python itself.
    allowed.write_text("pysidctx\\..*\\.(__test__|__pyx_capi__|_C_API|__(reduce|setstate)_cython__)\n"
                       "pysidctx\\.(__main__|cli|paths)(\\..*)?\n")
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
import pysidctx

ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
made: bytes = pysidctx.derive_session_id_context("shop", pysidctx.context_fingerprint(ctx))
pysidctx.set_session_id_context(ctx, made)
pysidctx.set_session_id_context(ctx, bytearray(made))
pysidctx.set_session_id_context(ctx, "shop")  # type: ignore[arg-type]
pysidctx.set_session_id_context(object(), made)  # type: ignore[arg-type]
folder: str = pysidctx.get_include()
""")
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"),
         "--cache-dir", str(tmp_path / "cache"), str(user), "pysidctx"],
        capture_output=True, text=True, cwd=ROOT,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
