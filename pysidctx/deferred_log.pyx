"""Log what happens in handshakes, which wait neither for the GIL nor for a handler of the log.

A handshake leaves what is to be logged where a source finds it, and calls log_soon(). A thread then takes the GIL and
calls the sources, at most once a second. Other threads of pysidctx let this one log, too, because a fork waits until it
is in no handler.
"""

import atexit
import os
import sys
import threading
from collections import deque

from pysidctx.log import write

from cpython.exc cimport PyErr_SetObject, PyErr_WriteUnraisable

from pysidctx.errors cimport check

cdef extern from "pthread.h" nogil:
    int pthread_atfork(void (*prepare)() noexcept nogil, void (*parent)() noexcept nogil,
                       void (*child)() noexcept nogil)

cdef extern from "deferred_log.h" nogil:
    ctypedef struct log_thread:
        pass
    void log_thread_wake(log_thread *thread, void *(*run)(void *) noexcept nogil)
    void log_thread_run(log_thread *thread, void (*tell)() noexcept nogil)
    void log_thread_hold(log_thread *thread)
    void log_thread_release(log_thread *thread)
    void log_thread_forked(log_thread *thread)
    bint log_thread_end(log_thread *thread)


MOST = 1000  # messages that wait

cdef log_thread thread
cdef list sources = []
cdef object messages = deque(maxlen=MOST)


def add_source(tell):
    """Have `tell()` called in the thread, to log what there is. Call this while a module is imported."""
    sources.append(tell)


def log_later(int level, str message, *arguments):
    """Have the thread log a message. Safe in any thread."""
    messages.append((level, message, arguments))
    log_soon()


def tell():
    """Log the messages that wait."""
    while messages:
        level, message, arguments = messages.popleft()
        write(level, message, *arguments)


cdef void log_soon() noexcept nogil:
    """Have the sources called within a second or so. Safe in any thread; takes no lock."""
    log_thread_wake(&thread, run)


cdef void *run(void *unused) noexcept nogil:
    log_thread_run(&thread, tell_in_thread)
    return NULL


cdef void tell_in_thread() noexcept with gil:
    # To Python it is a thread of unknown origin, which would be logged as Dummy-1.
    threading.current_thread().name = "pysidctx log"
    tell_all()
    call(leave_gevent)


def leave_gevent():
    """Destroy the hub that gevent has made if a handler waited in this thread: nothing else would close its files."""
    hub_of_thread = getattr(sys.modules.get("gevent._hub_local"), "get_hub_if_exists", None)
    hub = hub_of_thread and hub_of_thread()
    if hub is not None:
        hub.destroy()
        hub.throw()  # it may be suspended still, and would keep its thread in threading.enumerate()


cdef void tell_all() noexcept:
    for source in sources:
        call(source)


cdef void call(object source) noexcept:
    """Call a function. What it raises, such as the error of a filter, goes to `sys.unraisablehook`."""
    try:
        source()
    except BaseException as error:
        PyErr_SetObject(type(error), error)
        PyErr_WriteUnraisable(source)


def _end():
    """Log the rest when the interpreter ends, unless the thread is stuck in a handler: so would be this one."""
    cdef bint free
    with nogil:
        free = log_thread_end(&thread)
    if free:
        tell_all()


def _hold():
    """Before os.fork(), and what else runs Python's code in a child: wait until the thread is in no handler."""
    with nogil:
        log_thread_hold(&thread)


def _release():
    log_thread_release(&thread)


cdef void forked() noexcept nogil:
    log_thread_forked(&thread)


add_source(tell)
atexit.register(_end)
# After `logging` has registered its function, which locks what the thread may wait for: the last one is called first.
os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=messages.clear)
check(pthread_atfork(NULL, NULL, forked) == 0, b"pthread_atfork()")
