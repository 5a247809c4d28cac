/* Where CPython's ssl objects keep their OpenSSL pointers.
 *
 * The first fields of CPython's own structs (Modules/_ssl.c, 3.9 to 3.15), and no more of
 * them.  pysidctx.handles proves the offsets when it is imported; nothing else may read
 * through them before that. */
#ifndef PYSIDCTX_CPYTHON_SSL_H
#define PYSIDCTX_CPYTHON_SSL_H

#include <Python.h>
#include "openssl_api.h"

typedef struct {
    PyObject_HEAD
    SSL_CTX *ctx;
} pysidctx_PySSLContext; /* _ssl._SSLContext */

typedef struct {
    PyObject_HEAD
    PyObject *Socket;
    SSL *ssl;
} pysidctx_PySSLSocket; /* _ssl._SSLSocket */

typedef struct {
    PyObject_HEAD
    SSL_SESSION *session;
    PyObject *ctx; /* the _ssl._SSLContext that it was made with */
} pysidctx_PySSLSession; /* _ssl.SSLSession */

/* Whether a field of an object, a reference to another one, is set; in any thread, without the GIL. */
static inline int pysidctx_is_set(PyObject *object, size_t offset)
{
    return __atomic_load_n((PyObject **)((char *)object + offset), __ATOMIC_RELAXED) != NULL;
}

#endif
