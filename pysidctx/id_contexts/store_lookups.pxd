"""store_lookups.h, declared for Cython."""

from pysidctx.libssl cimport X509_STORE

cdef extern from "id_contexts/store_lookups.h" nogil:
    int store_fetches "pysidctx_store_fetches" (X509_STORE *store)
