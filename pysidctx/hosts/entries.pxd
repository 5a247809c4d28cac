from pysidctx.hosts.contexts cimport HostContext, HostContexts
from pysidctx.hosts.table cimport host_entry, host_table

cdef class Hosts:
    cdef host_table *table
    cdef HostContexts contexts
    cdef object listeners  # a weak set: the SSLContexts that the map was installed on

    cdef int new_entry(self, host_entry *entry, object name, object value, dict known) except -1
    cdef void discard(self, const host_entry *entry) noexcept
    cdef int put(self, object name, object value) except -1
    cdef int put_all(self, object items) except -1
    cdef host_entry *entry_of(self, object name) except? NULL
    cdef bint remove(self, object name) except -1
    cdef int clear(self) except -1
    cdef int close(self) except -1
    cdef Py_ssize_t count(self) except -1
    cdef tuple overview(self, object listener)
    cdef list serving(self, object listener)
    cdef int add_listener(self, object listener) except -1
    cdef int discard_listener(self, object listener) except -1
    cdef int warn_where_installed(self, HostContext *held) except -1
    cdef object value_of(self, const host_entry *entry)
    cdef object find(self, object name)
    cdef object match(self, object name)
    cdef list names(self)
