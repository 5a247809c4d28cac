/* Loops in C over OpenSSL's calls that write and read a session; each returns the seconds it took. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>

typedef struct {
    Py_ssize_t loops;
    const unsigned char *der;
    Py_ssize_t length;
    SSL_SESSION *session;
} job;

#include "loop.h"

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

static void release(job *todo)
{
    SSL_SESSION_free(todo->session);
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
    METHOD(i2d), METHOD(d2i), {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "session_c", .m_size = -1, .m_methods = methods,
};

PyMODINIT_FUNC PyInit_session_c(void)
{
    return PyModule_Create(&definition);
}
