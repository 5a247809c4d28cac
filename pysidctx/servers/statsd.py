"""gunicorn's hook `post_worker_init`: send what all workers have counted to the StatsD server that gunicorn uses."""

import atexit
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
    atexit.register(send, worker.log)
    threading.Thread(target=keep_sending, args=(worker.log,), name="pysidctx StatsD", daemon=True).start()


def keep_sending(log: Any) -> None:
    never = threading.Event()
    while not never.wait(INTERVAL):
        send(log)


def send(log: Any) -> None:
    """Send each counter that has changed since any worker did so."""
    new = counts.take_new()
    for metric in METRICS:
        for value, count in metric.values(new):
            if count:
                log.increment(".".join(filter(None, ("pysidctx", metric.name, value))), count)
