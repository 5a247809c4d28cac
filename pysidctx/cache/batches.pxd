from libc.stdint cimport uint64_t

from pysidctx.cache.store cimport Cache

cdef object batch_from(Cache *cache, uint64_t *turn, size_t most, bint skip_unfinished)
cdef object batch_of_forgotten(Cache *cache, uint64_t *generation)
cdef bint apply_batch(Cache *cache, int file, bytes batch, bint forgotten_alone) noexcept
