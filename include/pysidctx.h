/* pysidctx for C: session id contexts on OpenSSL objects, without Python objects or the GIL.
 *
 * Call pysidctx_import() once, with the GIL, in the module initialisation of each source file
 * that includes this header; 0 is success, -1 an exception set.  Compile with the folder that
 * pysidctx.get_include() names and with OpenSSL's headers; nothing needs to be linked.
 *
 * Each setter returns PYSIDCTX_OK or says why it changed nothing, and leaves OpenSSL's error
 * queue as it was.  See SSL_CTX_set_session_id_context(3). */
#ifndef PYSIDCTX_H
#define PYSIDCTX_H

#include <Python.h>
#ifndef PYSIDCTX_OPENSSL_API_H /* which pysidctx itself has instead */
#include <openssl/ssl.h>
#endif

#define PYSIDCTX_OK 1
#define PYSIDCTX_TOO_LONG 0    /* more than SSL_MAX_SID_CTX_LENGTH bytes */
#define PYSIDCTX_TOO_LATE (-1) /* the handshake has begun, its session has its id context */
#define PYSIDCTX_NO_MEMORY (-2) /* or no random numbers */

/* Grows at its end only; the version changes when a member changes. */
#define PYSIDCTX_API_VERSION 1
#define PYSIDCTX_API_CAPSULE "pysidctx._C_API"

typedef struct {
    unsigned int version;
    size_t size;
    int (*SSL_CTX_set_session_id_context)(SSL_CTX *ctx, const unsigned char *sid_ctx,
                                          unsigned int sid_ctx_len);
    int (*SSL_set_session_id_context)(SSL *ssl, const unsigned char *sid_ctx,
                                      unsigned int sid_ctx_len);
    SSL_CTX *(*SSL_CTX_from)(PyObject *context);
    SSL *(*SSL_from)(PyObject *connection, PyObject **owner);
} pysidctx_api;

static const pysidctx_api *pysidctx_table;

static inline int pysidctx_import(void)
{
    const pysidctx_api *table = (const pysidctx_api *)PyCapsule_Import(PYSIDCTX_API_CAPSULE, 0);

    if (table == NULL)
        return -1;
    if (table->version != PYSIDCTX_API_VERSION || table->size < sizeof(pysidctx_api)) {
        PyErr_SetString(PyExc_ImportError,
                        "this module was compiled for another version of pysidctx: "
                        "compile it again with the one that is installed");
        return -1;
    }
    pysidctx_table = table;
    return 0;
}

/* For the next connections of `ctx`, on every CPython; for a client's, if `ctx` is one of
 * TLS_client_method().  Servers' connections may be made and shake hands in other threads
 * meanwhile; a client's SSL_new() must not run at that moment, because it may copy half of the
 * value.  Two calls for one SSL_CTX must not overlap, and a call of the Python function counts
 * as one: holding the GIL, where there is one, is enough. */
static inline int pysidctx_SSL_CTX_set_session_id_context(SSL_CTX *ctx,
                                                          const unsigned char *sid_ctx,
                                                          unsigned int sid_ctx_len)
{
    return pysidctx_table->SSL_CTX_set_session_id_context(ctx, sid_ctx, sid_ctx_len);
}

/* For `ssl` alone, before its handshake and from the one thread that uses it; wins over what is
 * set on its SSL_CTX.  After SSL_clear(), the next handshake has the id context of the last one,
 * unless it is set anew. */
static inline int pysidctx_SSL_set_session_id_context(SSL *ssl, const unsigned char *sid_ctx,
                                                      unsigned int sid_ctx_len)
{
    return pysidctx_table->SSL_set_session_id_context(ssl, sid_ctx, sid_ctx_len);
}

/* The SSL_CTX of an ssl.SSLContext, borrowed: valid as long as `context` lives.  NULL with a
 * TypeError set for anything else, and with a ValueError for one that has another SSLContext make its
 * connections (as truststore's does): pass that, the `context` of a connection.  Needs the GIL, and may
 * run Python: methods of a class that overrides wrap_bio() and wrap_socket() are called. */
static inline SSL_CTX *pysidctx_SSL_CTX_from(PyObject *context)
{
    return pysidctx_table->SSL_CTX_from(context);
}

/* The SSL of an ssl.SSLSocket or ssl.SSLObject, valid as long as the caller keeps `*owner`, a
 * new reference: the socket itself may let go of its SSL at any time.  NULL, and no owner, with
 * a TypeError or ValueError set.  Needs the GIL. */
static inline SSL *pysidctx_SSL_from(PyObject *connection, PyObject **owner)
{
    return pysidctx_table->SSL_from(connection, owner);
}

#endif
