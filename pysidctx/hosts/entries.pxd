from pysidctx.hosts.contexts cimport HostContexts
from pysidctx.hosts.table cimport host_entry, host_table
from pysidctx.libssl cimport SSL_CTX

cdef int warn_of_host(SSL_CTX *listener, SSL_CTX *host) except -1

cdef class Hosts:
    cdef host_table *table
    cdef HostContexts contexts
    cdef object listeners  # a weak set: the SSLContexts that the map was installed on

    cdef int warn_where_installed(self, SSL_CTX *host) except -1
    cdef int new_entry(self, host_entry *entry, object name, object value, dict known) except -1
    cdef void discard(self, const host_entry *entry) noexcept
    cdef int put(self, object name, object value) except -1
    cdef int put_all(self, object items) except -1
    cdef host_entry *entry_of(self, object name) except? NULL
    cdef bint remove(self, object name) except -1
    cdef int clear(self) except -1
    cdef int close(self) except -1
    cdef Py_ssize_t count(self) except -1
    cdef tuple overview(self)
    cdef object value_of(self, const host_entry *entry)
    cdef object find(self, object name)
    cdef object match(self, object name)
    cdef list names(self)
