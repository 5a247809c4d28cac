from pysidctx.id_contexts.c_header cimport (
    PYSIDCTX_NO_MEMORY, PYSIDCTX_OK, PYSIDCTX_TOO_LATE, PYSIDCTX_TOO_LONG,
)
from pysidctx.id_contexts.setters cimport (
    SSL_CTX_from, SSL_CTX_set_session_id_context, SSL_from, SSL_set_session_id_context,
)
