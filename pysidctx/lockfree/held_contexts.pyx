"""SSLContexts that connections keep alive. Any thread can acquire and release them without the GIL."""

import os

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdlib cimport calloc, free

from pysidctx.handles cimport SSL_CTX_of
from pysidctx.lockfree.readers cimport atomic_fetch_add, atomic_fetch_sub, shared_exchange, shared_pointer, shared_push

cdef extern from "Python.h" nogil:
    int Py_AddPendingCall(int (*function)(void *) noexcept, void *argument)
    int Py_IsInitialized()


# HeldContexts without references, whose Python objects will be released by a thread that has the GIL.
cdef shared_pointer unneeded
# Not NULL while a pending call of the interpreter's main thread is to release them.
cdef shared_pointer requested


cdef HeldContext *new_held(object context, size_t size) except NULL:
    """Create a HeldContext for an owner, which keeps `context` alive until disown_context(). Raises MemoryError.

    It has `size` bytes. The bytes after the HeldContext belong to the owner, and are initially zero.
    """
    cdef HeldContext *held = <HeldContext *> calloc(1, size)
    if held is NULL:
        raise MemoryError("out of memory while storing a host's SSLContext")
    held.ctx = SSL_CTX_of(context)
    held.context = <PyObject *> context
    atomic_fetch_add(&held.references, 1)
    return held


cdef void hold_context(HeldContext *held) noexcept nogil:
    atomic_fetch_add(&held.references, 1)


cdef void release_context(HeldContext *held) noexcept nogil:
    """Drop a reference from hold_context()."""
    if not drop_reference(held):
        return
    if shared_exchange(&requested, &requested) is NULL:
        # If the queue of pending calls is full, the next release tries again.
        if not Py_IsInitialized() or Py_AddPendingCall(on_pending_call, NULL):
            shared_exchange(&requested, NULL)


cdef int disown_context(HeldContext *held) except -1:
    """Drop the owner's reference, when no handshake can find it any more. Connections may still use it.

    Call it before the owner releases its reference to the Python object.
    """
    Py_INCREF(<object> held.context)  # a reference for this struct; drop_unneeded() releases it
    drop_reference(held)
    drop_unneeded()
    return 0


cdef bint drop_reference(HeldContext *held) noexcept nogil:
    """Drop a reference. Returns whether it was the last one, so that `held` is now in the list of unneeded ones."""
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
