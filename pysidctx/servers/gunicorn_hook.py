"""gunicorn's hook `ssl_context`: find the configured one, and warn about worker classes that do not call it."""

import os
import sys
import warnings
from typing import Any, Callable, Optional

# Worker classes that create their contexts without calling the hook, and pysidctx's classes to use instead.
WITHOUT_HOOK = {
    ("aiohttp.worker", "GunicornUVLoopWebWorker"): "pysidctx.servers.aiohttp_worker.GunicornUVLoopWebWorker",
    ("aiohttp.worker", "GunicornWebWorker"): "pysidctx.servers.aiohttp_worker.GunicornWebWorker",
    ("uvicorn_worker._workers", "UvicornWorker"): "pysidctx.servers.uvicorn_worker.UvicornWorker",
    ("uvicorn.workers", "UvicornWorker"): "pysidctx.servers.uvicorn_worker.UvicornWorker",
}


def hook_of(config: Any) -> Optional[Callable[..., Any]]:
    """Return the hook `ssl_context` of gunicorn's configuration; None if it is not set."""
    setting = getattr(config, "settings", {}).get("ssl_context")
    if setting is None or setting.get() is setting.default:
        return None
    found: Callable[..., Any] = setting.get()
    return found


def in_place_of(worker_class: type) -> Optional[str]:
    """Return the name of pysidctx's class to use instead of one that does not call the hook; None for others."""
    for kind in worker_class.__mro__:
        if "calls_ssl_context" in vars(kind):
            return None
        found = WITHOUT_HOOK.get((kind.__module__, kind.__qualname__))
        if found is not None:
            return found
    return None


def worker_to_be_forked() -> Any:
    """Return gunicorn's worker object if this is called while its arbiter forks; otherwise None."""
    if "gunicorn.arbiter" not in sys.modules:
        return None
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "spawn_worker" and frame.f_globals.get("__name__") == "gunicorn.arbiter":
            return frame.f_locals.get("worker")
        frame = frame.f_back  # type: ignore[assignment]
    return None


_warned: set[type] = set()


def warn_before_fork() -> None:
    """Warn once for each worker class. It must be before the fork, because no code of pysidctx runs in its workers."""
    worker = worker_to_be_forked()
    if worker is None or type(worker) in _warned:
        return
    ours = in_place_of(type(worker))
    config = getattr(worker, "cfg", None)
    if ours is None or hook_of(config) is None or not getattr(config, "is_ssl", False):
        return
    _warned.add(type(worker))
    kind = f"{type(worker).__module__}.{type(worker).__qualname__}"
    warnings.warn(f"pysidctx: the worker class {kind} does not call gunicorn's hook ssl_context, so the hook has no "
                  f'effect: set worker_class = "{ours}"', RuntimeWarning, stacklevel=2)


os.register_at_fork(before=warn_before_fork)
