"""counts.h, declared for Cython, and the counters of this process."""

from libc.stdint cimport uint64_t

cdef extern from "lockfree/counts.h" nogil:
    enum:
        COUNT_HANDSHAKES
        COUNT_RESUMED_BY_TICKET
        COUNT_RESUMED_STORED
        COUNT_TICKETS
        COUNT_SESSIONS
        COUNT_HOSTS
        COUNT_CONTEXTS
        COUNTS

    ctypedef struct count_memory:
        pass
    ctypedef struct process_counts:
        pass

    void counts_add(process_counts *counts, unsigned int counter)
    void counts_move_own(process_counts *counts)
    void counts_share(process_counts *counts, void *memory)
    void counts_forked(process_counts *counts)
    uint64_t counts_sum(void *memory, unsigned int counter)
    uint64_t counts_total(process_counts *counts, unsigned int counter)
    uint64_t counts_take_new(process_counts *counts, unsigned int counter)

cdef void count_for_all(unsigned int counter) noexcept nogil
