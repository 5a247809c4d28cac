"""Validate host names, and normalize them for comparison: in lower case, without a trailing dot."""

cdef enum:
    HOST_NAME_MAX = 253  # characters, without a trailing dot: RFC 1035, section 2.3.4
    LABEL_MAX = 63

cdef extern from *:
    """
    /* Maps each byte of a host name to its lower-case form, or to 0 if a label cannot contain it.
     * Underscores are allowed: the RFCs exclude them from host names, but they are in use. */
    #define PYSIDCTX_SAME(c) [c] = c
    #define PYSIDCTX_LETTER(c) [c] = c, [c - 32] = c
    static const unsigned char pysidctx_lower[256] = {
        PYSIDCTX_LETTER('a'), PYSIDCTX_LETTER('b'), PYSIDCTX_LETTER('c'), PYSIDCTX_LETTER('d'),
        PYSIDCTX_LETTER('e'), PYSIDCTX_LETTER('f'), PYSIDCTX_LETTER('g'), PYSIDCTX_LETTER('h'),
        PYSIDCTX_LETTER('i'), PYSIDCTX_LETTER('j'), PYSIDCTX_LETTER('k'), PYSIDCTX_LETTER('l'),
        PYSIDCTX_LETTER('m'), PYSIDCTX_LETTER('n'), PYSIDCTX_LETTER('o'), PYSIDCTX_LETTER('p'),
        PYSIDCTX_LETTER('q'), PYSIDCTX_LETTER('r'), PYSIDCTX_LETTER('s'), PYSIDCTX_LETTER('t'),
        PYSIDCTX_LETTER('u'), PYSIDCTX_LETTER('v'), PYSIDCTX_LETTER('w'), PYSIDCTX_LETTER('x'),
        PYSIDCTX_LETTER('y'), PYSIDCTX_LETTER('z'),
        PYSIDCTX_SAME('0'), PYSIDCTX_SAME('1'), PYSIDCTX_SAME('2'), PYSIDCTX_SAME('3'),
        PYSIDCTX_SAME('4'), PYSIDCTX_SAME('5'), PYSIDCTX_SAME('6'), PYSIDCTX_SAME('7'),
        PYSIDCTX_SAME('8'), PYSIDCTX_SAME('9'), PYSIDCTX_SAME('-'), PYSIDCTX_SAME('_'),
    };
    """
    const unsigned char[256] in_lower_case "pysidctx_lower"

cdef inline size_t without_last_dot(const unsigned char *name, size_t length) noexcept nogil:
    return length - 1 if length > 1 and name[length - 1] == c'.' else length

cdef inline bint lowered(unsigned char *to, const unsigned char *name, size_t length) noexcept nogil:
    """Copy `name` in lower case. Returns whether it is valid enough to be looked up as a host name.

    `length` does not include a trailing dot.
    """
    cdef bint valid = True
    cdef size_t i, start = 0  # where the current label begins
    cdef unsigned char c
    for i in range(length):
        c = in_lower_case[name[i]]
        if c:
            to[i] = c
            continue
        to[i] = name[i]
        if name[i] != c'.' or i == start or i - start > LABEL_MAX:
            valid = False
        start = i + 1
    return valid and start < length <= HOST_NAME_MAX and length - start <= LABEL_MAX
