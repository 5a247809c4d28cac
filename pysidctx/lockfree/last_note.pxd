"""last_note.h, declared for Cython."""

from pysidctx.lockfree.readers cimport shared_pointer

cdef extern from "lockfree/last_note.h" nogil:
    enum:
        NOTE_LENGTH

    ctypedef struct last_note:
        size_t count
        int kind
        size_t length
        unsigned char text[]

    bint note_leave(shared_pointer *place, int kind, const unsigned char *text, size_t length)
    last_note *note_take(shared_pointer *place)
