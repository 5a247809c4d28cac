cdef void log_soon() noexcept nogil
