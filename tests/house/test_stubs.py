"""The type stubs agree with the built modules."""

import subprocess
import sys

import pytest
from machine import ROOT

pytestmark = pytest.mark.source

# Others are Python themselves, or of Cython that no Python uses.
MODULES = [".".join(path.relative_to(ROOT).with_suffix("").parts)
           for path in sorted((ROOT / "pysidctx").rglob("*.pyi"))]


def test_stubtest(tmp_path):
    allowed = tmp_path / "allowed"
    # What Cython adds; what is for Cython alone; what Cython gives no signature.
    allowed.write_text("pysidctx\\..*\\.(__test__|__pyx_capi__|_C_API|__(reduce|setstate)_cython__)\n"
                       "pysidctx\\.hosts\\.hostmap\\.Installation\n"
                       "pysidctx\\.clients\\.client_sessions\\.Reading\n"
                       "pysidctx\\..*(TicketKeys|SessionCache|ClientSessions)\\.__(init|new)__\n")
    # Other libraries' types are looked at where `make lint` runs mypy; here only those of pysidctx are compared.
    settings = tmp_path / "mypy.ini"
    settings.write_text("[mypy]\nfollow_imports = skip\nignore_missing_imports = True\n")
    ran = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", *MODULES, "--allowlist", str(allowed),
         "--ignore-unused-allowlist", "--mypy-config-file", str(settings)],
        capture_output=True, text=True, cwd=ROOT,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
