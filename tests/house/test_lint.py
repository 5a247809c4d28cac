"""`make lint` finds nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from machine import ROOT

pytestmark = pytest.mark.one_python


def test_nothing_is_found():
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run([ROOT / ".ci" / "lint"], env=dict(os.environ, PATH=path), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
