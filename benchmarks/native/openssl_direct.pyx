"""OpenSSL's functions called without a table, as a user's module calls them that cimports pysidctx.libssl."""

include "openssl_calls.pxi"
