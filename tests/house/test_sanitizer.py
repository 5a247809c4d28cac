"""AddressSanitizer finds nothing in the library while connections are made, switched and dropped."""

import os
import shutil
import subprocess
import sys

import pytest
from builds import PACKAGE, SUFFIX
from consumers import build
from machine import COMPILER, COMPILING, ROOT, program

pytestmark = [pytest.mark.timeout(900), pytest.mark.source]  # a whole build

TESTS = (
    "cache/test_corruption.py", "cache/test_records.py", "cache/test_store.py", "cache/test_templates.py",
    "handshake/test_hostile_names.py",
    "hosts/test_hostmap.py", "hosts/test_hostmap_routing.py", "hosts/test_hostmap_threads.py",
    "hosts/test_hostmap_tls.py", "hosts/test_rejected_names.py", "hosts/test_switch.py",
    "sessions/test_resumption.py", "sessions/test_session.py", "sessions/test_session_files.py",
    "sessions/test_session_fuzz.py",
    "tickets/test_resumable.py", "tickets/test_ticket_files.py", "tickets/test_ticket_threads.py",
    "tickets/test_tickets.py",
)
# To look at memory by calls makes modules shorter, and takes the compiler less time.
SANITIZE = "-fsanitize=address --param asan-instrumentation-with-call-threshold=0"


@pytest.fixture(scope="module")
def environment(tmp_path_factory, copy_source):
    """That of a process which runs an instrumented build of the library."""
    folder = tmp_path_factory.mktemp("instrumented")
    tree = copy_source(folder / "tree")
    # No test of these calls the modules for clients and commands: they are as they were built.
    uncalled = [path for name in ("clients", "cli") for path in (tree / "pysidctx" / name).rglob("*.pyx")]
    for path in uncalled:
        path.unlink()
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build", "--build-base", folder, "--build-lib", folder],
        cwd=tree, check=True, capture_output=True,
        env=dict(COMPILING, CC=f"{COMPILER} {SANITIZE}", CFLAGS="-O0 -g1"))
    for path in uncalled:
        module = path.relative_to(tree / "pysidctx").with_suffix(SUFFIX)
        shutil.copy(PACKAGE / module, folder / "pysidctx" / module)
    found = subprocess.run([program("cc", "gcc"), "-print-file-name=libasan.so"],
                           capture_output=True, text=True, check=True)
    # What Python itself keeps until it ends is no leak of ours; its own allocator hides errors. Of each allocation, the
    # sanitizer keeps the nearest callers alone, which takes it less time.
    return dict(os.environ, LD_PRELOAD=found.stdout.strip(), PYTHONPATH=str(folder), PYTHONMALLOC="malloc",
                ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1:malloc_context_size=2",
                CHANGES="2000", FEWER="5")  # those that find a fault, if there is one, come early


def python(environment, code):
    return subprocess.run([sys.executable, "-c", code], env=environment, cwd="/", capture_output=True,
                          text=True)


def test_it_is_the_instrumented_build_that_is_watched(environment):
    ran = python(environment, "import pysidctx; print(pysidctx.__file__)")
    assert ran.stdout.startswith(environment["PYTHONPATH"])
    ran = python(environment, """
import ctypes, pysidctx
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
block = ctypes.c_void_p(libc.malloc(100))
libc.free(block), libc.free(block)
""")
    assert "AddressSanitizer: attempting double-free" in ran.stderr


def test_the_connection_tests_are_clean(environment, tmp_path):
    for consumer in ("from_cache.pyx", "from_store.pyx"):
        build(tmp_path, consumer, inner=True)  # under the sanitizer it would take several times as long
    # Copying the sanitizer's memory makes a fork take seconds; others mostly wait for time to pass.
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--timeout", "0",
         "-k", "not fork and not rotation and not lifetime and not derived_no_keys and not serves_again"
               " and not cannot_be_read and not generation_that_is_none",
         *(ROOT / "tests" / name for name in TESTS)],
        env=environment, capture_output=True, text=True, cwd=ROOT / "tests")
    assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr[-5000:]
    assert "AddressSanitizer" not in ran.stdout + ran.stderr
