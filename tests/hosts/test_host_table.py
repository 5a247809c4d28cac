"""hosts/table.h and lockfree/readers.h: read without locks while a writer changes, and frees, what they hold."""

import shutil
import subprocess

import pytest
from consumers import HEADERS
from machine import ROOT, program

pytestmark = [pytest.mark.one_python, pytest.mark.source]

SOURCE = ROOT / "tests" / "consumers" / "table_stress.c"
COPIED = ("hosts/table.h", "lockfree/id_context_slot.h", "lockfree/readers.h", "handshake/siphash.h")
AGAIN = "while (atomic_load_explicit(&table->changes, memory_order_seq_cst) != changes)"
BETWEEN = "dot = memchr(name, '.', length);"  # the two look-ups of a name
SLEEP = "nanosleep(&(struct timespec){0, 1000}, NULL); "
WAIT = "static inline void gate_wait(reader_gate *gate)\n{"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Compile the program, once, for a sanitizer, with changes to the headers: (header, text, replacement); what is
    returned runs it with arguments."""
    made = {}

    def build(sanitizer, *changes):
        folder = made.get((sanitizer, changes))
        if folder is None:
            folder = made[sanitizer, changes] = tmp_path_factory.mktemp("table")
            for name in COPIED:
                (folder / name).parent.mkdir(exist_ok=True)
                shutil.copy(HEADERS / name, folder / name)
            for header, old, new in changes:
                text = (folder / header).read_text()
                assert old in text
                (folder / header).write_text(text.replace(old, new))
            subprocess.run(
                [program("cc", "gcc"), "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread",
                 f"-fsanitize={sanitizer}", "-I", folder, SOURCE, "-o", folder / "stress"], check=True)
        return lambda *arguments: subprocess.run([folder / "stress", *arguments], capture_output=True, text=True,
                                                 timeout=200)

    return build


@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
@pytest.mark.parametrize("arguments", [[], ["held"]], ids=["changing", "held"])
def test_readers_see_one_map_that_is_not_freed(compiled, sanitizer, arguments):
    ran = compiled(sanitizer)(*arguments)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.endswith("lookups\n")


def test_without_waiting_they_see_freed_entries(compiled):
    """This shows that the test above can fail; likewise below."""
    ran = compiled("address", ("lockfree/readers.h", WAIT, WAIT + " if (gate) return;"))("held")
    assert "ERROR: AddressSanitizer" in ran.stderr  # what it is depends on who has the memory by then


def test_without_looking_again_they_see_parts_of_two_maps(compiled):
    stress = compiled("address", ("hosts/table.h", BETWEEN, SLEEP + BETWEEN),
                      ("hosts/table.h", AGAIN, "while (changes == SIZE_MAX)"))
    for _ in range(20):  # until they take such turns, which a busy machine may not let them
        ran = stress()
        assert ran.stderr == ""
        if ran.returncode == 1:
            return
    raise AssertionError("nobody has seen parts of two maps")


def test_looking_again_they_see_one_however_long_it_takes(compiled):
    ran = compiled("address", ("hosts/table.h", BETWEEN, SLEEP + BETWEEN))()
    assert (ran.returncode, ran.stderr) == (0, "")
