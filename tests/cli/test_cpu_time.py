"""The CPU time of a process group: with that of threads and processes which it has now, or had."""

import subprocess
import sys
import time

from pysidctx.cli.cpu_time import cpu_time

BUSY = """
import os, sys, threading, time
def work():
    end = time.thread_time() + 0.3
    while time.thread_time() < end:
        pass
thread = threading.Thread(target=work)
if os.fork():
    thread.start()
    thread.join()
else:
    work()
os.write(1, b"done\\n")  # in one piece
sys.stdin.read()
"""


def test_it_counts_threads_that_have_ended_and_children():
    with subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          start_new_session=True) as process:
        assert [process.stdout.readline() for _ in range(2)] == [b"done\n"] * 2
        assert cpu_time(process.pid) >= 0.6
    deadline = time.monotonic() + 20
    while cpu_time(process.pid):  # of the one that is left, until it has ended, too
        assert time.monotonic() < deadline
