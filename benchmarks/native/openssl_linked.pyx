"""OpenSSL's functions called through a table that the linker has filled."""

include "openssl_calls.pxi"

cdef extern from "openssl_api.h":
    void *openssl


def table():
    """Its address. A table that nothing outside could reach would be none: the compiler would call what is in it."""
    return <size_t> &openssl
