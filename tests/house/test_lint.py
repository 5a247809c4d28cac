"""`make lint` finds nothing, and no file of the tests or the benchmarks is long."""

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


@pytest.mark.parametrize("folder", ["benchmarks", "tests"])
def test_no_file_is_long(folder, tracked_files):
    long = {name: lines for name in tracked_files if name.startswith(f"{folder}/")
            if (lines := len((ROOT / name).read_text().splitlines())) > 500}
    assert long == {}
