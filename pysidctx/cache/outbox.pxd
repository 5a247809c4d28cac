"""outbox.h, declared for Cython."""

from libc.stdint cimport uint64_t

from pysidctx.cache.slab cimport slab_entry

cdef extern from "cache/outbox.h" nogil:
    enum:
        OUTBOX_SESSION
        OUTBOX_PEER
        OUTBOX_TAKEN
        OUTBOX_EMPTY
        OUTBOX_UNFINISHED
        OUTBOX_OVERTAKEN

    ctypedef struct outbox_item:
        uint64_t kind
        unsigned char *name
        slab_entry entry

    ctypedef struct outbox_slot:
        pass

    ctypedef struct outbox_number "_Atomic uint64_t":
        pass

    ctypedef struct outbox_numbers:
        outbox_number head
        outbox_number active
        outbox_number announced
        outbox_number published
        outbox_number received
        outbox_number dropped
        outbox_number lag
        outbox_number losses

    ctypedef struct outbox:
        outbox_numbers *numbers
        outbox_slot *slots
        uint64_t count

    uint64_t outbox_load(const outbox_number *number)
    bint outbox_is_active(const outbox *box, uint64_t now)
    bint outbox_was_active(const outbox *box, uint64_t now)
    void outbox_set(outbox_number *number, uint64_t value)
    void outbox_count(outbox_number *number, uint64_t more)
    void outbox_add(outbox *box, int kind, const unsigned char *name, const slab_entry *entry)
    bint outbox_was_sent(const outbox *box, const unsigned char *name, uint64_t now)
    void outbox_mark_sent(const outbox *box, const unsigned char *name, uint64_t now)
    int outbox_take(const outbox *box, uint64_t turn, outbox_item *item)
