"""OpenSSL's functions called through a table that is filled when the module is imported, as pysidctx's own modules."""

from pysidctx.binding cimport bind_openssl

bind_openssl()

include "openssl_calls.pxi"
