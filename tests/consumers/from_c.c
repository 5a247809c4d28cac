/* An extension module in C that sets id contexts by way of pysidctx.h, without the GIL. */
#include <Python.h>
#include <pysidctx.h>

static PyObject *set_on_context(PyObject *self, PyObject *args)
{
    PyObject *context;
    Py_buffer sid_ctx;
    SSL_CTX *ctx;
    int result;

    if (!PyArg_ParseTuple(args, "Oy*", &context, &sid_ctx))
        return NULL;
    ctx = pysidctx_SSL_CTX_from(context);
    if (ctx == NULL) {
        PyBuffer_Release(&sid_ctx);
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    result = pysidctx_SSL_CTX_set_session_id_context(ctx, sid_ctx.buf, (unsigned int)sid_ctx.len);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&sid_ctx);
    return PyLong_FromLong(result);
}

static PyObject *set_on_connection(PyObject *self, PyObject *args)
{
    PyObject *connection, *owner;
    Py_buffer sid_ctx;
    SSL *ssl;
    int result;

    if (!PyArg_ParseTuple(args, "Oy*", &connection, &sid_ctx))
        return NULL;
    ssl = pysidctx_SSL_from(connection, &owner);
    if (ssl == NULL) {
        PyBuffer_Release(&sid_ctx);
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    result = pysidctx_SSL_set_session_id_context(ssl, sid_ctx.buf, (unsigned int)sid_ctx.len);
    Py_END_ALLOW_THREADS
    Py_DECREF(owner);
    PyBuffer_Release(&sid_ctx);
    return PyLong_FromLong(result);
}

static PyMethodDef methods[] = {
    {"set_on_context", set_on_context, METH_VARARGS, NULL},
    {"set_on_connection", set_on_connection, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "from_c", .m_size = -1, .m_methods = methods,
};

PyMODINIT_FUNC PyInit_from_c(void)
{
    PyObject *module;

    if (pysidctx_import() < 0)
        return NULL;
    module = PyModule_Create(&definition);
#ifdef Py_GIL_DISABLED
    if (module != NULL)
        PyUnstable_Module_SetGIL(module, Py_MOD_GIL_NOT_USED);
#endif
    return module;
}
