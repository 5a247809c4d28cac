"""SSLContexts that connections keep alive, taken and given back in any thread, without the GIL."""

import os

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdlib cimport calloc, free

from pysidctx.handles cimport SSL_CTX_of
from pysidctx.lockfree.readers cimport atomic_fetch_add, atomic_fetch_sub, shared_exchange, shared_pointer, shared_push

cdef extern from "Python.h" nogil:
    int Py_AddPendingCall(int (*function)(void *) noexcept, void *argument)
    int Py_IsInitialized()


# Those whose last connection is gone: their references to Python objects wait for the GIL.
cdef shared_pointer unneeded
# Not NULL while the interpreter's main thread is asked to see to them.
cdef shared_pointer requested


cdef HeldContext *new_held(object context, size_t size) except NULL:
    """For an owner, which keeps `context` alive until let_go(); MemoryError.

    Of `size` bytes: what follows a HeldContext is its owner's, and zero at first.
    """
    cdef HeldContext *held = <HeldContext *> calloc(1, size)
    if held is NULL:
        raise MemoryError("out of memory while storing a host's SSLContext")
    held.ctx = SSL_CTX_of(context)
    held.context = <PyObject *> context
    atomic_fetch_add(&held.references, 1)
    return held


cdef void hold(HeldContext *held) noexcept nogil:
    atomic_fetch_add(&held.references, 1)


cdef void release(HeldContext *held) noexcept nogil:
    """Give back what hold() took."""
    if not give_back(held):
        return
    if shared_exchange(&requested, &requested) is NULL:
        # Where the queue is full, the next one to be released asks again.
        if not Py_IsInitialized() or Py_AddPendingCall(on_pending_call, NULL):
            shared_exchange(&requested, NULL)


cdef int let_go(HeldContext *held) except -1:
    """Its owner needs it no more, and no handshake can find it any more; connections may use it.

    Called before the owner gives back its reference to the Python object.
    """
    Py_INCREF(<object> held.context)  # this struct's, given back by drop_unneeded()
    give_back(held)
    drop_unneeded()
    return 0


cdef bint give_back(HeldContext *held) noexcept nogil:
    """Whether that was the last reference, so that `held` is among the unneeded now."""
    if atomic_fetch_sub(&held.references, 1) > 1:
        return False
    shared_push(&unneeded, held, &held.next)
    return True


cdef int on_pending_call(void *unused) noexcept with gil:
    shared_exchange(&requested, NULL)
    drop_unneeded()
    return 0


cdef void drop_unneeded() noexcept:
    cdef HeldContext *held = <HeldContext *> shared_exchange(&unneeded, NULL)
    cdef HeldContext *following
    cdef PyObject *context
    while held is not NULL:
        following = <HeldContext *> held.next
        context = held.context
        free(held)
        Py_DECREF(<object> context)
        held = following


def _after_fork():
    shared_exchange(&requested, NULL)
    drop_unneeded()


os.register_at_fork(after_in_child=_after_fork)
