"""When rejected names are logged: at most once a second, by a thread that no fork and no end of a process waits for."""

import re
import subprocess
import sys

import pytest
from machine import SUPPORT, module

SECONDS = 60  # that a process has, on a busy machine

BEGIN = f"""
import logging, os, signal, sys, threading, time
sys.path.insert(0, {str(SUPPORT)!r})
logging.basicConfig(level=logging.INFO, format="%(created)f %(process)d %(threadName)s: %(message)s")
from rejected import Rejecting
listener = Rejecting(sys.argv[1])
def threads():
    return len(os.listdir("/proc/self/task"))
"""
TOLD = re.compile(r"^([\d.]+) (\d+) ([^:]+): server names rejected: (\d+), the last one (.+)$", re.MULTILINE)


@pytest.fixture
def run(pem_files):
    """Run code in a process of its own, and return what it prints, and what it logs of names, by line."""
    def run(code):
        ran = subprocess.run([sys.executable, "-X", "faulthandler", "-c", BEGIN + code, pem_files[0]],
                             capture_output=True, text=True, timeout=SECONDS)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        told = TOLD.findall(ran.stderr)
        assert len(told) == len(ran.stderr.splitlines()), ran.stderr
        return ran.stdout, told
    return run


def test_all_are_counted_and_told_once_a_second(run):
    printed, told = run("""
def work():
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        listener.reject(b"evil.test")
        time.sleep(0.01)
working = [threading.Thread(target=work) for _ in range(4)]
for thread in working:
    thread.start()
for thread in working:
    thread.join()
print(listener.hosts.stats().rejected)
""")
    assert sum(int(count) for _, _, _, count, _ in told) == int(printed)
    assert int(told[0][3]) < int(printed)  # it did not wait for all of them
    assert {(thread, name) for _, _, thread, _, name in told[:-1]} == {("pysidctx log", "b'evil.test'")}
    # What is logged when the process ends is not counted.
    times = [float(time) for time, _, thread, _, _ in told if thread == "pysidctx log"]
    assert len(times) >= 2
    assert all(later - earlier > 0.9 for earlier, later in zip(times, times[1:]))


def test_there_is_no_thread_while_there_is_nothing_to_tell(run):
    printed, told = run("""
import pysidctx.servers
print(threads())
listener.reject(b"evil.test")
end = time.monotonic() + 20
while threads() > 1 and time.monotonic() < end:
    time.sleep(0.1)
print(threads())
listener.reject(b"again.test")
time.sleep(0.3)
print(threads())
""")
    assert printed.split() == ["1", "1", "2"]
    assert [name for *_, name in told] == ["b'evil.test'", "b'again.test'"]


def test_each_process_tells_its_own(run):
    """Also one that is forked while the thread is at work, and the child of a child."""
    printed, told = run("""
def process(depth):
    for number in range(3):
        listener.reject(b"of %d" % os.getpid())
    child = os.fork() if depth else None
    if child == 0:
        process(depth - 1)
        return
    listener.reject(b"of %d" % os.getpid())
    if child:
        assert os.waitpid(child, 0)[1] == 0
    print(os.getpid(), flush=True)
    time.sleep(0.2)
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
process(2)
""")
    processes = printed.split()
    assert len(set(processes)) == 3
    for process in processes:
        own = [(int(count), name) for _, where, _, count, name in told if where == process]
        assert sum(count for count, _ in own) == 4
        assert {name for _, name in own} == {f"b'of {process}'"}


def test_a_fork_at_any_moment(run):
    """While a handler of the log has a lock, too, which no child would get, such as that of a file."""
    printed, told = run("""
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
class Slow(logging.Handler):
    own = threading.Lock()
    def emit(self, record):
        with self.own:
            time.sleep(0.3)
logging.getLogger().addHandler(Slow())
stopping = threading.Event()
other = Rejecting(sys.argv[1])  # newer CPythons lock an SSLContext, and a child does not get that lock either
def work():
    while not stopping.is_set():
        other.reject(b"parent")
        time.sleep(0.001)  # else it is in OpenSSL at each fork, of whose locks a child may not get one, either
thread = threading.Thread(target=work)
thread.start()
for number in range(15):
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(30)
        listener.reject(b"child")
        time.sleep(0.02)
        with Slow.own:
            os._exit(0)
    time.sleep(0.05)
    assert os.waitpid(child, 0)[1] == 0
stopping.set()
thread.join()
print(os.getpid())
""")
    children = [name for _, where, _, _, name in told if where != printed.strip()]
    assert set(children) == {"b'child'"}


def test_a_module_that_is_imported_while_a_thread_is_about_to_fork(pem_files):
    """Of its functions, the fork calls those alone that come after it."""
    code = """
import os, sys
def early():
    import pysidctx.deferred_log
os.register_at_fork(before=early)
def fork():
    child = os.fork()
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
fork()
""" + BEGIN + """
listener.reject(b"evil.test")
end = time.monotonic() + 20
while threads() > 1 and time.monotonic() < end:
    time.sleep(0.05)
fork()
listener.reject(b"other.test")
time.sleep(0.5)
os._exit(0)  # which tells no rest
"""
    ran = subprocess.run([sys.executable, "-c", code, pem_files[0]], capture_output=True, text=True, timeout=SECONDS)
    assert (ran.returncode, [name for *_, name in TOLD.findall(ran.stderr)]) == (0, ["b'evil.test'", "b'other.test'"])


def test_a_handler_that_forks(run):
    """The log goes on in the process, and also in the handler's child, if that outlives the handler.

    CPythons before 3.13 cannot make a thread state for the last thread of a child, which it has not started itself.
    """
    printed, told = run("""
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
class Forking(logging.Handler):
    child = None
    def handle(self, record):  # without its lock, which `logging` replaces in a child
        if self.child is None:
            Forking.child = os.fork()
            if self.child == 0:
                if sys.version_info < (3, 13):
                    os._exit(0)
                listener.reject(b"child")
logging.getLogger().addHandler(Forking())
listener.reject(b"evil.test")
end = time.monotonic() + 20
while threads() > 1 and time.monotonic() < end:
    time.sleep(0.05)
assert os.waitpid(Forking.child, 0)[1] == 0
listener.reject(b"other.test")
time.sleep(0.5)
print(Forking.child, flush=True)
os._exit(0)
""")
    assert [(name, where == printed.strip()) for _, where, _, _, name in told] == [
        ("b'evil.test'", False), *[("b'child'", True)] * (sys.version_info >= (3, 13)), ("b'other.test'", False)]


def test_a_process_that_ends_at_once_tells_the_rest(run):
    _, told = run("""
for number in range(1000):
    listener.reject(b"evil.test")
""")
    assert sum(int(count) for _, _, _, count, _ in told) == 1000


@pytest.mark.parametrize("handler", ["time.sleep(0.02)", "sys.stderr.flush()"])
def test_a_process_ends_at_any_moment(pem_files, handler, rng):
    """Daemon threads reject names until the end, at last without a pause, and a message may be in the middle."""
    code = BEGIN + f"""
class Handler(logging.Handler):
    def emit(self, record):
        {handler}
logging.getLogger().addHandler(Handler())
ending = time.monotonic() + float(sys.argv[2])
def work():
    while True:
        listener.reject(b"evil.test")
        if time.monotonic() < ending - 0.03:
            time.sleep(0.01)
for _ in range(2):
    threading.Thread(target=work, daemon=True).start()
time.sleep(max(0, ending - time.monotonic()))
"""
    for _ in range(3):
        running = [subprocess.Popen([sys.executable, "-c", code, pem_files[0], str(rng.random() * 1.2)],
                                    stderr=subprocess.PIPE, text=True) for _ in range(4)]
        for process in running:
            told = process.communicate(timeout=SECONDS)[1]
            assert process.returncode == 0, told


def test_a_handler_that_is_stuck_keeps_no_process(run):
    """Here one that is stuck without its lock. If it had that, `logging.shutdown()` would wait for it, and for ever."""
    _, told = run("""
class Stuck(logging.Handler):
    def handle(self, record):
        threading.Event().wait()
logging.getLogger().addHandler(Stuck())
listener.reject(b"evil.test")
time.sleep(0.3)
listener.reject(b"other.test")
""")
    assert [name for *_, name in told] == ["b'evil.test'"]


def test_a_handler_that_waits_with_gevent(pem_files):
    """A thread that has waited leaves no file open, nor an entry among Python's threads."""
    module("gevent", "gevent")
    code = """
from gevent import monkey
monkey.patch_all()
""" + BEGIN + """
import gc
time.sleep(0)  # two threads at once cannot make the first hubs of a process
class Waiting(logging.Handler):
    def emit(self, record):
        time.sleep(0.01)
logging.getLogger().addHandler(Waiting())
def burst():
    before = threads()
    listener.reject(b"evil.test")
    end = time.monotonic() + 20
    while threads() > before and time.monotonic() < end:
        time.sleep(0.05)
    gc.collect()
    return len(os.listdir("/proc/self/fd")), threading.active_count(), threads()
assert burst() == burst() == burst(), burst()
"""
    ran = subprocess.run([sys.executable, "-c", code, pem_files[0]], capture_output=True, text=True, timeout=SECONDS)
    assert ran.returncode == 0, ran.stderr
    assert len(TOLD.findall(ran.stderr)) == len(ran.stderr.splitlines()) == 3, ran.stderr


def test_a_filter_that_fails_stops_no_message_after_it(pem_files):
    code = BEGIN + """
def failing(record):
    if "evil" in record.getMessage():
        raise RuntimeError("the filter fails")
    return True
logging.getLogger("pysidctx").addFilter(failing)
listener.reject(b"evil.test")
time.sleep(0.3)
listener.reject(b"other.test")
"""
    ran = subprocess.run([sys.executable, "-c", code, pem_files[0]], capture_output=True, text=True, timeout=SECONDS)
    assert ran.returncode == 0
    assert len(re.findall("^RuntimeError: the filter fails$", ran.stderr, re.MULTILINE)) == 1
    assert "1, the last one b'other.test'" in ran.stderr
