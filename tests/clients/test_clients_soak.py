"""The process of a client does not grow, whatever becomes of its connections. `make soak` has a million of them."""

import os
import subprocess
import sys

import pytest
from machine import SUPPORT

SCRIPT = SUPPORT / "client_soak.py"
ROUNDS = int(os.environ.get("CONNECTIONS", 3000))


@pytest.mark.timeout(0 if "CONNECTIONS" in os.environ else 300)
def test_memory_stays_flat(pem_files, rng):
    seed = rng.getrandbits(32)
    ran = subprocess.run([sys.executable, SCRIPT, *pem_files, "--rounds", str(ROUNDS), "--seed", str(seed)],
                         capture_output=True, text=True)
    print(ran.stdout)
    assert ran.returncode == 0, ran.stdout + ran.stderr
