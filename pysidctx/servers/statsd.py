"""gunicorn's hook `post_worker_init`: send what all workers have counted to the StatsD server that gunicorn uses."""

import atexit
import os
import threading
import warnings
from typing import Any

from pysidctx.lockfree import counts
from pysidctx.servers.metrics import METRICS

counts.take_new()  # what was counted before the server was started is not sent

INTERVAL = 10.0  # seconds, as StatsD's own


def post_worker_init(worker: Any) -> None:
    """Send what all workers have counted to gunicorn's StatsD, every 10 seconds and when the worker ends.

    worker
        gunicorn's worker. Its setting `statsd_host` names the StatsD server.

    The names begin with gunicorn's `statsd_prefix` and `pysidctx.`, such as `pysidctx.resumed.ticket`. Each worker has
    a thread that sends what was counted since any of them has sent something, so that each count is sent once. No
    handshake waits for it. Emits a RuntimeWarning if `statsd_host` is not set.
    """
    if not getattr(worker.cfg, "statsd_host", None) or not hasattr(worker.log, "increment"):
        warnings.warn("pysidctx: nothing is sent to StatsD, because gunicorn's setting statsd_host is not set: set it, "
                      "or remove the hook pysidctx.servers.statsd.post_worker_init", RuntimeWarning, stacklevel=2)
        return
    Sender(worker.log).start()


class Sender:
    """A thread that sends to a StatsD logger, once more when its process ends."""

    MOST = 1.0  # for how long the end of the process waits for a server that does not receive, in seconds

    def __init__(self, log: Any) -> None:
        self._log, self._process = log, os.getpid()
        self._ending, self._ended = threading.Event(), threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name="pysidctx StatsD", daemon=True).start()
        atexit.register(self._end)

    def _run(self) -> None:
        while not self._ending.wait(INTERVAL):
            send(self._log)
        send(self._log)
        self._ended.set()

    def _end(self) -> None:
        if os.getpid() == self._process:  # a forked child has no such thread
            self._ending.set()
            self._ended.wait(self.MOST)


def send(log: Any) -> None:
    """Send each counter that has changed since any worker did so."""
    new = counts.take_new()
    for metric in METRICS:
        for value, count in metric.values(new):
            if count:
                log.increment(".".join(filter(None, ("pysidctx", metric.name, value))), count)
