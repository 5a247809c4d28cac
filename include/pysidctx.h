/* pysidctx for C: set session id contexts on OpenSSL objects, without Python objects or the GIL.
 *
 * Each source file that includes this header must call pysidctx_import() once, while it holds the
 * GIL, in the initialization of its module.  It returns 0 on success, and -1 with a Python exception
 * set on failure.  Compile with the folder that pysidctx.get_include() returns and with OpenSSL's
 * headers.  There is no library to link with.
 *
 * Each setter returns PYSIDCTX_OK, or another value that tells why it has changed nothing.  It leaves
 * OpenSSL's error queue as it was.  See SSL_CTX_set_session_id_context(3). */
#ifndef PYSIDCTX_H
#define PYSIDCTX_H

#include <Python.h>
#ifndef PYSIDCTX_OPENSSL_API_H /* which pysidctx itself has instead */
#include <openssl/ssl.h>
#endif

#define PYSIDCTX_OK 1
#define PYSIDCTX_TOO_LONG 0    /* more than SSL_MAX_SID_CTX_LENGTH bytes */
#define PYSIDCTX_TOO_LATE (-1) /* the handshake has begun, and its session already has an id context */
#define PYSIDCTX_NO_MEMORY (-2) /* memory or random numbers are not available */

/* New members are appended at the end.  The version changes when an existing member changes. */
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

/* Set the id context of `ctx`: 0 to SSL_MAX_SID_CTX_LENGTH (32) bytes, which are copied.
 *
 * It applies to server connections of `ctx` whose ClientHello is read after the call, on every CPython;
 * or, if `ctx` uses TLS_client_method(), to client connections that are created after the call.
 *
 * Thread safety: other threads may create server connections and run handshakes during the call.  They
 * must not call SSL_new() for a client during the call, because it might copy a half-written value.  Two
 * calls for one SSL_CTX must not overlap, and calls of the Python function must not overlap with them
 * either: on a CPython with the GIL, it is enough to hold it. */
static inline int pysidctx_SSL_CTX_set_session_id_context(SSL_CTX *ctx,
                                                          const unsigned char *sid_ctx,
                                                          unsigned int sid_ctx_len)
{
    return pysidctx_table->SSL_CTX_set_session_id_context(ctx, sid_ctx, sid_ctx_len);
}

/* Set the id context of one connection, before its handshake: 0 to SSL_MAX_SID_CTX_LENGTH (32) bytes,
 * which are copied.  It takes precedence over the id context of its SSL_CTX.  Call it in the thread that
 * uses `ssl`.  After SSL_clear(), the next handshake uses the same id context unless you set another. */
static inline int pysidctx_SSL_set_session_id_context(SSL *ssl, const unsigned char *sid_ctx,
                                                      unsigned int sid_ctx_len)
{
    return pysidctx_table->SSL_set_session_id_context(ssl, sid_ctx, sid_ctx_len);
}

/* Return the SSL_CTX of an ssl.SSLContext.  The reference is borrowed and valid as long as `context`
 * lives.  Returns NULL with a TypeError set if `context` is not an ssl.SSLContext, and with a ValueError
 * set if another SSLContext creates its connections, as in the package truststore: then pass that
 * SSLContext, which is the `context` attribute of a connection.  Needs the GIL.  It may run Python code:
 * it calls wrap_bio() and wrap_socket() of a class that overrides them. */
static inline SSL_CTX *pysidctx_SSL_CTX_from(PyObject *context)
{
    return pysidctx_table->SSL_CTX_from(context);
}

/* Return the SSL of an ssl.SSLSocket or ssl.SSLObject, and store a new reference in `*owner`.  The SSL is
 * valid until the caller releases `*owner`; the socket object itself may release its SSL at any time.
 * Returns NULL, with a TypeError or ValueError set and no reference stored, on failure.  Needs the GIL. */
static inline SSL *pysidctx_SSL_from(PyObject *connection, PyObject **owner)
{
    return pysidctx_table->SSL_from(connection, owner);
}

#endif
