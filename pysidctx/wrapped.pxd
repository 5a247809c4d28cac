from cpython.object cimport PyObject, PyTypeObject, Py_TYPE

cdef extern from *:
    """
    #if !defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030C0000
    /* A pointer before the object leads to its attributes. The import of pysidctx.wrapped verifies this. */
    #define PYSIDCTX_ATTRIBUTES(context) ((PyObject **)(context) - 3)
    #else
    #define PYSIDCTX_ATTRIBUTES(context) ((PyObject **)NULL)
    #endif

    /* Whether an instance of ssl.SSLContext has attributes of its own. */
    static inline int pysidctx_has_attributes(PyObject *context)
    {
        PyObject **kept = PYSIDCTX_ATTRIBUTES(context), *attributes;
        int found;
        if (kept != NULL) {
            if (*kept == NULL)
                return 0;
            if (!((Py_uintptr_t)*kept & 1)) /* CPython 3.12 sets the lowest bit if it is not a dict yet */
                return PyDict_GET_SIZE(*kept) != 0;
        }
        attributes = PyObject_GenericGetDict(context, NULL);
        found = attributes == NULL || PyDict_Size(attributes) != 0;
        if (attributes == NULL)
            PyErr_Clear();
        Py_XDECREF(attributes);
        return found;
    }
    """
    PyObject **attributes_before "PYSIDCTX_ATTRIBUTES" (object context)
    bint has_attributes "pysidctx_has_attributes" (object context)

# Python's own class ssl.SSLContext; NULL if it was modified, or stores its attributes elsewhere.
cdef PyTypeObject *plain_type

cdef object unwrapped(object context)
cdef str kind_of(object context)

cdef inline bint is_plain(object context) noexcept:
    """Whether an SSLContext is of Python's own class and has no attributes of its own, so that it wraps no other.

    For speed, this does not detect changes of the class itself after pysidctx was imported.
    """
    return Py_TYPE(context) is plain_type and not has_attributes(context)
