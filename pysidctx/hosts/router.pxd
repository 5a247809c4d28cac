from pysidctx.handshake.listener cimport Listener
from pysidctx.hosts.table cimport host_table
from pysidctx.id_contexts.client_verification cimport Demands
from pysidctx.libssl cimport SSL_MAX_SID_CTX_LENGTH

cdef bint set_map(Listener *listener, host_table *table, const Demands *demands,
                  const unsigned char *fingerprint) noexcept nogil
cdef bint unset_map(Listener *listener, host_table *table) noexcept nogil
cdef bint has_map(Listener *listener, const host_table *table) noexcept nogil
