"""Host names as they are compared: what a valid one is, and its form with capitals and dots evened."""

cdef enum:
    HOST_NAME_MAX = 253  # characters, without a dot at the end: RFC 1035, section 2.3.4
    LABEL_MAX = 63

# What is wrong with a pattern.
cdef enum:
    PATTERN_OK
    PATTERN_EMPTY
    PATTERN_TOO_LONG
    PATTERN_LABEL_EMPTY
    PATTERN_LABEL_TOO_LONG
    PATTERN_CHARACTER
    PATTERN_HYPHEN
    PATTERN_WILDCARD
    PATTERN_ADDRESS

cdef inline bint is_digit(unsigned char c) noexcept nogil:
    return c'0' <= c <= c'9'

cdef inline unsigned char lower(unsigned char c) noexcept nogil:
    return c | 0x20 if c'A' <= c <= c'Z' else c

cdef inline bint is_valid(unsigned char c) noexcept nogil:
    """Whether `c`, in lower case, may stand in a label; underscores do, in names in use."""
    return c'a' <= c <= c'z' or is_digit(c) or c == c'-' or c == c'_'

cdef inline size_t without_last_dot(const unsigned char *name, size_t length) noexcept nogil:
    return length - 1 if length > 1 and name[length - 1] == c'.' else length

cdef inline bint lowered(unsigned char *to, const unsigned char *name, size_t length) noexcept nogil:
    """Copy `name` in lower case; whether it can be a host name, as far as looking it up needs it.

    `length` is that without a dot at the end.
    """
    cdef bint valid = 0 < length <= HOST_NAME_MAX
    cdef size_t i, label = 0
    cdef unsigned char c
    for i in range(length):
        c = to[i] = lower(name[i])
        if c == c'.':
            valid = valid and label > 0
            label = 0
        else:
            valid = valid and is_valid(c)
            label += 1
            valid = valid and label <= LABEL_MAX
    return valid and label > 0

cdef inline int check_pattern(unsigned char *to, const unsigned char *pattern,
                              size_t length) noexcept nogil:
    """Copy `pattern` in lower case to `to`, of HOST_NAME_MAX; returns what is wrong with it.

    `length` is that without a dot at the end.
    """
    cdef size_t i, start = 2 if length >= 2 and pattern[0] == c'*' and pattern[1] == c'.' else 0
    cdef size_t label = start
    cdef bint digits = True
    if length == start:
        return PATTERN_WILDCARD if start else PATTERN_EMPTY
    if length > HOST_NAME_MAX:
        return PATTERN_TOO_LONG
    for i in range(length):
        to[i] = lower(pattern[i])
    for i in range(start, length + 1):
        if i < length and to[i] != c'.':
            if to[i] == c'*':
                return PATTERN_WILDCARD
            if not is_valid(to[i]):
                return PATTERN_CHARACTER
            continue
        if i == label:
            return PATTERN_LABEL_EMPTY
        if i - label > LABEL_MAX:
            return PATTERN_LABEL_TOO_LONG
        if to[label] == c'-' or to[i - 1] == c'-':
            return PATTERN_HYPHEN
        if i < length:
            label = i + 1
    # No top-level domain is a number, and where the last part is one, an address is meant.
    for i in range(label, length):
        digits = digits and is_digit(to[i])
    return PATTERN_ADDRESS if digits else PATTERN_OK
