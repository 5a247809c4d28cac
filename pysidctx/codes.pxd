"""What the functions of pysidctx.h return; told there."""

cdef extern from "pysidctx.h" nogil:
    enum:
        PYSIDCTX_OK
        PYSIDCTX_TOO_LONG
        PYSIDCTX_TOO_LATE
        PYSIDCTX_NO_MEMORY
