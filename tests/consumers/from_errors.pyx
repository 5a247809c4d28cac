"""An extension module in Cython that checks results the way pysidctx's own modules do."""

from pysidctx.errors cimport check, check_pointer


def of_result(int result):
    cdef int checked
    with nogil:
        checked = check(result, b"SSL_example()")
    return checked


def of_pointer(size_t address):
    cdef void *checked
    with nogil:
        checked = check_pointer(<void *> address, b"SSL_example()")
    return <size_t> checked
