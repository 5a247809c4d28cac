from pysidctx.handshake.listener cimport Listener
from pysidctx.hosts.table cimport host_table
from pysidctx.id_contexts.client_verification cimport Demands
from pysidctx.libssl cimport SSL_MAX_SID_CTX_LENGTH

cdef bint install(Listener *listener, host_table *table, const Demands *demands,
                  const unsigned char *fingerprint) noexcept nogil
cdef bint uninstall(Listener *listener, host_table *table) noexcept nogil
cdef bint is_installed(Listener *listener, const host_table *table) noexcept nogil
