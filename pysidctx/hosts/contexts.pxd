"""An SSLContext that entries of a HostMap name: what connections hold of it, and what is the map's own."""

from pysidctx.id_contexts.client_verification cimport Demands
from pysidctx.lockfree.held_contexts cimport HeldContext

cdef struct HostContext:
    HeldContext held           # first: what let_go() frees is this
    size_t entries
    bint idle                  # in the map's list of those that may be without entries
    HostContext *next_idle     # the one after it there
    Demands demands            # as they were when the fingerprint was taken
    unsigned char fingerprint[32]
