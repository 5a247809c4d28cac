/* Loops in C over OpenSSL's calls that write and read a session; each returns the seconds it took. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>

#include "timing.h"

typedef struct {
    Py_ssize_t loops;
    const unsigned char *der;
    Py_ssize_t length;
    SSL_SESSION *session;
} job;

static int parse(PyObject *args, job *todo)
{
    const unsigned char *end;

    if (!PyArg_ParseTuple(args, "ny#", &todo->loops, &todo->der, &todo->length))
        return 0;
    end = todo->der;
    todo->session = d2i_SSL_SESSION(NULL, &end, todo->length);
    if (todo->session == NULL)
        PyErr_SetString(PyExc_ValueError, "not a session");
    return todo->session != NULL;
}

#define LOOP(name, statements)                                                                    \
    static PyObject *name(PyObject *self, PyObject *args)                                         \
    {                                                                                             \
        job todo;                                                                                 \
        double start, end;                                                                        \
        Py_ssize_t i;                                                                             \
                                                                                                  \
        if (!parse(args, &todo))                                                                  \
            return NULL;                                                                          \
        start = seconds();                                                                        \
        for (i = 0; i < todo.loops; i++)                                                          \
            statements;                                                                           \
        end = seconds();                                                                          \
        SSL_SESSION_free(todo.session);                                                           \
        return PyFloat_FromDouble(end - start);                                                   \
    }

LOOP(i2d, {
    unsigned char *der = NULL;
    i2d_SSL_SESSION(todo.session, &der);
    OPENSSL_free(der);
})
LOOP(d2i, {
    const unsigned char *end_of_session = todo.der;
    SSL_SESSION_free(d2i_SSL_SESSION(NULL, &end_of_session, todo.length));
})

static PyMethodDef methods[] = {
    {"i2d", i2d, METH_VARARGS, NULL},
    {"d2i", d2i, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "session_c", .m_size = -1, .m_methods = methods,
};

PyMODINIT_FUNC PyInit_session_c(void)
{
    return PyModule_Create(&definition);
}
