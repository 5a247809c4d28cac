"""Host names as they are compared: what a valid one is, and its form with capitals and dots evened."""

cdef enum:
    HOST_NAME_MAX = 253  # characters, without a dot at the end: RFC 1035, section 2.3.4
    LABEL_MAX = 63

cdef extern from *:
    """
    /* What stands for each byte of a host name: letters in lower case, 0 for what cannot be in a
     * label. Underscores can: they are not in host names by the letter, but in use. */
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
    """Copy `name` in lower case; whether it can be a host name, as far as looking it up needs it.

    `length` is that without a dot at the end.
    """
    cdef bint valid = True
    cdef size_t i, start = 0  # of the label
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
