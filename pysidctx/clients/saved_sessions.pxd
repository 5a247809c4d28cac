from pysidctx.clients.session_store cimport SessionStore

cdef int save_sessions(SessionStore *store, object path) except -1
cdef int load_sessions(SessionStore *store, object path, set trusts) except -1
