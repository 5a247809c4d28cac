"""lockfree/last_note.h and deferred_log.h: each note is told, whatever turns the threads take."""

import shutil
import subprocess

import pytest
from consumers import HEADERS
from machine import ROOT, program

pytestmark = [pytest.mark.one_python, pytest.mark.source]

COPIED = ("deferred_log.h", "lockfree/last_note.h", "lockfree/readers.h")
# The program does not wait a second between two notes.
AT_ONCE = ("deferred_log.h", "#define LOG_INTERVAL 1 ", "#define LOG_INTERVAL 0 ")


@pytest.fixture
def compiled(tmp_path):
    """Compile the program for a sanitizer, with changes to the headers: (header, text, replacement); what is returned
    runs it."""
    def build(sanitizer, *changes):
        for name in COPIED:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            shutil.copy(HEADERS / name, tmp_path / name)
        for header, old, new in (AT_ONCE, *changes):
            text = (tmp_path / header).read_text()
            assert old in text
            (tmp_path / header).write_text(text.replace(old, new))
        subprocess.run(
            [program("cc", "gcc"), "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-pthread",
             f"-fsanitize={sanitizer}", "-I", tmp_path, ROOT / "tests" / "consumers" / "note_stress.c",
             "-o", tmp_path / "stress"], check=True)
        return lambda: subprocess.run([tmp_path / "stress"], capture_output=True, text=True, timeout=200)

    return build


# So that others come after the thread has looked, and before it says that it ends.
LATE = ("deferred_log.h", "        atomic_store(&thread->running, 0);\n        /*",
        "        log_sleep(0, 1); atomic_store(&thread->running, 0);\n        /*")


@pytest.mark.parametrize("changes", [[], [LATE]], ids=["as it is", "ending late"])
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_each_is_told(compiled, sanitizer, changes):
    ran = compiled(sanitizer, *changes)()
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "all told\n", "")


@pytest.mark.parametrize("changes", [
    [("lockfree/last_note.h", "note->count += former->count", "(void)former->count")],
    [LATE, ("deferred_log.h", "} while (atomic_load(&thread->pending) && !atomic_exchange(&thread->running, 1))",
            "} while (0)")],
    [("deferred_log.h", "    log_thread_wait(thread);\n}", "}")],
], ids=["not added up", "not looked at again", "not waited for"])
def test_the_program_finds_a_fault(compiled, changes):
    stress = compiled("address,undefined", *changes)
    assert any(stress().returncode == 1 for _ in range(20))
