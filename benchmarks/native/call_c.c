/* Loops in C: OpenSSL's own calls, and pysidctx by its header; each returns the seconds it took. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <openssl/ssl.h>
#include <pysidctx.h>

/* Places in ex_data as pysidctx has them: what it asks OpenSSL for in each call. */
static int ctx_index, ssl_index;
static char something;

typedef struct {
    Py_ssize_t loops;
    SSL_CTX *ctx;
    SSL *ssl;
    PyObject *owner; /* of ssl */
    const unsigned char *sid_ctx;
    unsigned int length;
} job;

#include "loop.h"

static int parse(PyObject *args, job *todo)
{
    PyObject *context, *connection;
    Py_ssize_t length;

    if (!PyArg_ParseTuple(args, "nOOy#", &todo->loops, &context, &connection, &todo->sid_ctx,
                          &length))
        return 0;
    todo->length = (unsigned int)length;
    todo->ctx = pysidctx_SSL_CTX_from(context);
    if (todo->ctx == NULL)
        return 0;
    todo->ssl = pysidctx_SSL_from(connection, &todo->owner);
    if (todo->ssl == NULL)
        return 0;
    if (SSL_CTX_set_ex_data(todo->ctx, ctx_index, &something)
        && SSL_set_ex_data(todo->ssl, ssl_index, &something))
        return 1;
    Py_DECREF(todo->owner);
    PyErr_NoMemory();
    return 0;
}

static void release(job *todo)
{
    Py_DECREF(todo->owner);
}

LOOP(openssl_ctx, SSL_CTX_set_session_id_context(todo.ctx, todo.sid_ctx, todo.length))
LOOP(openssl_ssl, SSL_set_session_id_context(todo.ssl, todo.sid_ctx, todo.length))
LOOP(openssl_ctx_all, {
    SSL_CTX_get_ex_data(todo.ctx, ctx_index);
    SSL_CTX_set_session_id_context(todo.ctx, todo.sid_ctx, todo.length);
})
LOOP(openssl_ssl_all, {
    SSL_in_before(todo.ssl);
    SSL_get_ex_data(todo.ssl, ssl_index);
    SSL_set_session_id_context(todo.ssl, todo.sid_ctx, todo.length);
})
LOOP(header_ctx, pysidctx_SSL_CTX_set_session_id_context(todo.ctx, todo.sid_ctx, todo.length))
LOOP(header_ssl, pysidctx_SSL_set_session_id_context(todo.ssl, todo.sid_ctx, todo.length))

static PyMethodDef methods[] = {
    METHOD(openssl_ctx), METHOD(openssl_ssl), METHOD(openssl_ctx_all), METHOD(openssl_ssl_all),
    METHOD(header_ctx),  METHOD(header_ssl),  {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "call_c", .m_size = -1, .m_methods = methods,
};

PyMODINIT_FUNC PyInit_call_c(void)
{
    if (pysidctx_import() < 0)
        return NULL;
    ctx_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    ssl_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    if (ctx_index < 0 || ssl_index < 0) {
        PyErr_SetString(PyExc_RuntimeError, "OpenSSL gave no index for ex_data");
        return NULL;
    }
    return PyModule_Create(&definition);
}
