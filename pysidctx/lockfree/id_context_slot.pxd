"""id_context_slot.h, declared for Cython."""

cdef extern from "lockfree/id_context_slot.h" nogil:
    ctypedef struct sid_slot:
        pass
    void sid_slot_write(sid_slot *slot, const unsigned char *data, unsigned int length)
    unsigned int sid_slot_read(sid_slot *slot, unsigned char *data)
