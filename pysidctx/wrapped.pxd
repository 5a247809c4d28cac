from cpython.object cimport PyObject, Py_TYPE

from pysidctx.handles cimport SSLContext_type

cdef extern from *:
    """
    /* What was set on an instance of ssl.SSLContext itself. With a GIL nothing is created for the answer. */
    #ifdef Py_GIL_DISABLED
    static inline int pysidctx_has_attributes(PyObject *context)
    {
        PyObject *attributes = PyObject_GenericGetDict(context, NULL);
        int found = attributes == NULL || PyDict_Size(attributes) != 0;
        if (attributes == NULL)
            PyErr_Clear();
        Py_XDECREF(attributes);
        return found;
    }
    #else
    static inline int pysidctx_has_attributes(PyObject *context)
    {
        PyObject **attributes = _PyObject_GetDictPtr(context);
        return attributes == NULL || (*attributes != NULL && PyDict_GET_SIZE(*attributes) != 0);
    }
    #endif
    """
    bint has_attributes "pysidctx_has_attributes" (object context)

cdef object unwrapped(object context)
cdef str kind_of(object context)

cdef inline bint is_plain(object context) noexcept:
    """Whether an SSLContext is of Python's own class, and has no attributes of its own: it wraps none.

    That the class itself was changed after the import of pysidctx is not noticed here, for its speed.
    """
    return Py_TYPE(context) is SSLContext_type and not has_attributes(context)
