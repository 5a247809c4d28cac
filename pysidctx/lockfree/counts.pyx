"""What all processes of a server have counted, in memory that they share."""

import os

from pysidctx.lockfree import counts_file
from pysidctx.lockfree.totals import Totals

from pysidctx.errors cimport check

cdef extern from "pthread.h" nogil:
    int pthread_atfork(void (*prepare)() noexcept nogil, void (*parent)() noexcept nogil,
                       void (*child)() noexcept nogil)

cdef extern from "sys/mman.h" nogil:
    enum:
        PROT_READ
        PROT_WRITE
        MAP_SHARED
        MAP_ANONYMOUS
    void *MAP_FAILED
    void *mmap(void *addr, size_t length, int prot, int flags, int fd, long offset)
    int munmap(void *addr, size_t length)


cdef process_counts here

# In the order of counts.h.
NAMES = Totals._fields
assert len(NAMES) == COUNTS

SIZE = counts_file.HEADER_LENGTH + sizeof(count_memory)  # of a file, in bytes


cdef void count_for_all(unsigned int counter) noexcept nogil:
    counts_add(&here, counter)


def add(str name not None):
    """Add one to a counter, a field of Totals. Safe in any thread."""
    cdef unsigned int counter = NAMES.index(name)
    counts_add(&here, counter)


def share(file):
    """Count, from now on, in the memory of the file with this descriptor; with None, in anonymous memory.

    Processes that are forked afterwards count in the same memory. What this process has counted before in no shared
    memory is added. The descriptor can be closed then. Raises MemoryError if it cannot be mapped.
    """
    cdef char *memory
    if file is None:
        memory = <char *> mapped(sizeof(count_memory), PROT_READ | PROT_WRITE, -1)
    else:
        memory = <char *> mapped(SIZE, PROT_READ | PROT_WRITE, file) + <size_t> counts_file.HEADER_LENGTH
    counts_share(&here, memory)


def totals():
    """Return the Totals of all processes that share memory with this one. Safe in any thread."""
    counts_move_own(&here)
    return Totals(*[counts_total(&here, counter) for counter in range(COUNTS)])


def take_new():
    """Return as Totals what was counted since any of these processes has called this. Safe in any thread."""
    counts_move_own(&here)
    return Totals(*[counts_take_new(&here, counter) for counter in range(COUNTS)])


def open_file(path):
    """Return the descriptor of the file `path` for share(), made if there is none. Raises OSError, ValueError."""
    return counts_file.shared(path, SIZE, NAMES)


def read_totals(path):
    """Return the Totals in the file `path`, and count nothing there.

    Raises OSError; ValueError if the file is not one that open_file() has made.
    """
    cdef int file = counts_file.to_read(path, SIZE, NAMES)
    cdef char *memory
    try:
        memory = <char *> mapped(SIZE, PROT_READ, file)
    finally:
        os.close(file)
    found = Totals(*[counts_sum(memory + <size_t> counts_file.HEADER_LENGTH, counter) for counter in range(COUNTS)])
    munmap(memory, SIZE)
    return found


cdef void *mapped(size_t size, int protection, int file) except NULL:
    cdef void *memory = mmap(NULL, size, protection, MAP_SHARED | (MAP_ANONYMOUS if file < 0 else 0), file, 0)
    if memory is MAP_FAILED:
        raise MemoryError(f"{size} bytes of shared memory cannot be mapped")
    return memory


cdef void choose_again() noexcept nogil:
    """In a forked child."""
    counts_forked(&here)


check(pthread_atfork(NULL, NULL, choose_again) == 0, b"pthread_atfork()")
