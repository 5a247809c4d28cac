"""The type stubs say what the built modules have."""

import subprocess
import sys

import pytest
from machine import ROOT

pytestmark = pytest.mark.source

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
                       "pysidctx\\..*(TicketKeys|SessionCache|ClientSessions)\\.__(init|new)__\n"
                       f"({WITHOUT_STUB})(\\..*)?\n")
    # Other libraries' types are looked at where `make lint` runs mypy; here only those of pysidctx are compared.
    settings = tmp_path / "mypy.ini"
    settings.write_text("[mypy]\nfollow_imports = skip\nignore_missing_imports = True\n")
    ran = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "pysidctx", "--allowlist", str(allowed),
         "--ignore-unused-allowlist", "--mypy-config-file", str(settings)],
        capture_output=True, text=True, cwd=ROOT,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
