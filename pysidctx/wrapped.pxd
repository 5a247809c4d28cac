from cpython.object cimport PyObject, PyTypeObject, Py_TYPE

cdef extern from *:
    """
    #if !defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030C0000
    /* A pointer before the object leads to its attributes. The import of pysidctx.wrapped verifies this. */
    #define PYSIDCTX_ATTRIBUTES(context) ((PyObject **)(context) - 3)
    #else
    #define PYSIDCTX_ATTRIBUTES(context) ((PyObject **)NULL)
    #endif

    /* Whether an object can have attributes, although that pointer is NULL: they lie in the object until somebody asks
     * for them as a dict. CPython 3.12 says so by the pointer itself, later versions by the type. */
    #ifdef Py_TPFLAGS_INLINE_VALUES
    #define PYSIDCTX_HAS_INLINE_VALUES(context) (Py_TYPE(context)->tp_flags & Py_TPFLAGS_INLINE_VALUES)
    #else
    #define PYSIDCTX_HAS_INLINE_VALUES(context) 0
    #endif

    /* Whether an instance of ssl.SSLContext has attributes of its own. */
    static inline int pysidctx_has_attributes(PyObject *context)
    {
        PyObject **kept = PYSIDCTX_ATTRIBUTES(context), *attributes;
        int found;
        if (kept != NULL && *kept == NULL) {
            if (!PYSIDCTX_HAS_INLINE_VALUES(context))
                return 0;
        } else if (kept != NULL && !((Py_uintptr_t)*kept & 1)) { /* CPython 3.12: lowest bit, if it is no dict yet */
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
    bint has_attributes "pysidctx_has_attributes" (object context)  # which may create the dict

# Python's own class ssl.SSLContext; NULL if it was modified, or stores its attributes elsewhere.
cdef PyTypeObject *plain_type

cdef object unwrapped(object context)
cdef str kind_of(object context)

cdef inline bint is_plain(object context) noexcept:
    """Whether an SSLContext is of Python's own class and has no attributes of its own, so that it wraps no other.

    For speed, this does not detect changes of the class itself after pysidctx was imported.
    """
    return Py_TYPE(context) is plain_type and not has_attributes(context)
