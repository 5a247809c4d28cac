"""slab.h and forgotten.h under sanitizers: no data race, no access outside of the memory, no undefined behavior."""

import os
import subprocess

import pytest
from consumers import HEADERS
from machine import ROOT, program

pytestmark = pytest.mark.one_python


@pytest.mark.parametrize("sanitizer, detects", [
    ("thread", "data race"), ("address,undefined", "heap-buffer-overflow"),
], ids=["thread", "address and undefined"])
def test_threads_that_write_and_read(tmp_path, sanitizer, detects):
    def run(folder):
        subprocess.run(
            [program("cc", "gcc"), "-O1", "-g1", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-pthread",
             "-Wno-tsan" if sanitizer == "thread" else "-Wformat",  # it takes no fences: all that they order is atomic
             f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all", "-I", folder,
             ROOT / "tests" / "consumers" / "slab_stress.c", "-o", tmp_path / "stress"], check=True)
        return subprocess.run([tmp_path / "stress"], capture_output=True, text=True,
                              env=dict(os.environ, TSAN_OPTIONS="halt_on_error=1"))

    ran = run(HEADERS)
    assert (ran.returncode, ran.stdout) == (0, "0 wrong, some found\n"), ran.stdout + ran.stderr
    # So it can fail: an access that is not atomic, or is outside.
    slab = (HEADERS / "cache" / "slab.h").read_text()
    place = "    slab_store(&place.marks[place.way], 0);\n"
    fault = {"thread": "*(volatile uint64_t *)&place.marks[place.way] = 0;\n",
             "address,undefined": "*(volatile uint64_t *)&body[1000] = 0;\n"}[sanitizer]
    assert place in slab
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "slab.h").write_text(slab.replace(place, fault))
    (tmp_path / "cache" / "forgotten.h").write_text((HEADERS / "cache" / "forgotten.h").read_text())
    ran = run(tmp_path)
    assert ran.returncode != 0 and detects in ran.stderr
