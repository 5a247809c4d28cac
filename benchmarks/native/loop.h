/* LOOP(name, statements): a function for Python that runs the statements over and over, and returns the seconds that
   took. Whoever includes this defines `job`, with the member `loops`, and how one is read and let go. */
#ifndef LOOP_H
#define LOOP_H

#include "timing.h"

static int parse(PyObject *args, job *todo); /* 0, with an exception, or 1 */
static void release(job *todo);

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
        release(&todo);                                                                           \
        return PyFloat_FromDouble(end - start);                                                   \
    }

#define METHOD(name) {#name, name, METH_VARARGS, NULL}

#endif
