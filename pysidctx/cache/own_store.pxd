from libc.stdint cimport uint64_t

from pysidctx.cache.slab cimport slab_entry

cdef void put_into(void *store, int kind, const unsigned char *name, const slab_entry *entry,
                   uint64_t now) noexcept with gil
cdef bint get_from(void *store, int kind, const unsigned char *name, slab_entry *entry) noexcept with gil
cdef void delete_from(void *store, int kind, const unsigned char *name) noexcept with gil
cdef void release_store(void *store) noexcept nogil
cdef int check_store(object store) except -1
