from pysidctx.cache.store cimport Cache
from pysidctx.libssl cimport SSL_CTX

cdef int use_cache(SSL_CTX *ctx, Cache *cache, bint always) except -1
cdef bint stop_using_cache(SSL_CTX *ctx, Cache *cache) except -1
cdef Cache *cache_of(SSL_CTX *ctx, bint *always) noexcept nogil
