"""The server names that a HostMap of this process has rejected: how many, and the last one, for the log."""

import logging

from pysidctx.deferred_log import add_source
from pysidctx.log import log, write

from libc.stdlib cimport free

from pysidctx.binding cimport bind_openssl
from pysidctx.deferred_log cimport log_soon
from pysidctx.errors cimport check
from pysidctx.handshake.client_hello cimport ServerName, name_as_sent
from pysidctx.libssl cimport SSL
from pysidctx.lockfree.last_note cimport NOTE_LENGTH, last_note, note_leave, note_take
from pysidctx.lockfree.readers cimport shared_exchange, shared_pointer

bind_openssl()

cdef extern from "pthread.h" nogil:
    int pthread_atfork(void (*prepare)() noexcept nogil, void (*parent)() noexcept nogil,
                       void (*child)() noexcept nogil)

cdef enum:
    MISSING, UNKNOWN, MALFORMED

cdef shared_pointer last


cdef void note_rejection(SSL *ssl, const ServerName *name) noexcept nogil:
    """Leave the name that the client has sent to be logged. Only the ClientHello callback may call this."""
    cdef const unsigned char *sent
    cdef size_t length
    cdef bint present = name_as_sent(ssl, &sent, &length)
    note_leave(&last, MALFORMED if name.malformed else UNKNOWN if present else MISSING, sent, length)
    log_soon()


def tell():
    """Log what was rejected since the last call."""
    cdef last_note *note = note_take(&last)
    if note is NULL:
        return
    count, kind, length = note.count, note.kind, note.length
    sent = note.text[:min(length, <size_t> NOTE_LENGTH)]
    free(note)
    if log.isEnabledFor(logging.INFO):
        write(logging.INFO, "server names rejected: %d, the last one %s", count, described(kind, sent, length))


cdef str described(int kind, bytes sent, size_t length):
    """Return the name in words: the literal of a bytes object contains neither line ends nor control characters."""
    if kind == MISSING:
        return "missing"
    shown = f"{sent!r}{'...' if length > <size_t> len(sent) else ''}"
    return f"malformed: {shown}" if kind == MALFORMED else shown


cdef void forked() noexcept nogil:
    """In a forked child: what the parent has rejected, it logs itself."""
    shared_exchange(&last, NULL)


add_source(tell)
check(pthread_atfork(NULL, NULL, forked) == 0, b"pthread_atfork()")
