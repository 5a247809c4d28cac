"""No fork hangs, whatever other threads are at: `make soak` has many more."""

import os
import subprocess
import sys

import pytest
from machine import SUPPORT, program

SCRIPT = SUPPORT / "fork_soak.py"

# In these a child does not get to a lock of OpenSSL's, which may be locked for ever.
CASES = [("serve", "keys"), ("change", "contexts")]
FORKS = 300
TIMEOUT = 300
if "FORKS" in os.environ:
    CASES += [("serve", "contexts"), ("plain", "plain")]
    FORKS = int(os.environ["FORKS"])
    TIMEOUT = 0


@pytest.mark.timeout(TIMEOUT)
@pytest.mark.parametrize("load, idle", CASES)
def test_each_child_comes_to_its_end(load, idle, pem_files):
    if len(CASES) > 2:
        program("gdb", "gdb")  # which tells OpenSSL's locks from ours
    ran = subprocess.run([sys.executable, SCRIPT, *pem_files, "--load", load, "--idle", idle,
                          "--forks", str(FORKS // len(CASES))], capture_output=True, text=True)
    print(ran.stdout)
    assert ran.returncode == 0, ran.stdout + ran.stderr
