"""id_context_slot.h: threads read an id context whole while another thread writes it."""

import subprocess

import pytest
from consumers import HEADERS
from machine import ROOT, program

pytestmark = [pytest.mark.one_python, pytest.mark.source]

HEADER = HEADERS / "lockfree" / "id_context_slot.h"
RETRY = "while (atomic_load_explicit(&slot->generation, memory_order_relaxed) != seen)"


@pytest.fixture
def stress(tmp_path):
    def run(header):
        (tmp_path / "id_context_slot.h").write_text(header)
        subprocess.run(
            [program("cc", "gcc"), "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-I", tmp_path,
             ROOT / "tests" / "consumers" / "slot_stress.c", "-o", tmp_path / "stress"], check=True)
        return subprocess.run([tmp_path / "stress"], capture_output=True, text=True)

    return run


def test_readers_never_see_a_mixture(stress):
    assert stress(HEADER.read_text()).stdout == "0 mixtures\n"


def test_without_reading_again_they_do(stress):
    """So the test above can fail. On a busy machine the threads may take turns so that none sees any: again, then."""
    assert RETRY in HEADER.read_text()
    mutant = HEADER.read_text().replace(RETRY, "while (0)")
    assert any(stress(mutant).returncode == 1 for _ in range(20))
