from pysidctx.id_contexts.client_verification cimport Demands

cdef int read_demands(Demands *demands, object context) except -1
cdef bytes fingerprint_under(const Demands *demands, object context)
