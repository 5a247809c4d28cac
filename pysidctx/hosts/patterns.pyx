"""Parse and validate host patterns, and explain what is wrong with an invalid one."""

from ipaddress import ip_address

from pysidctx.hosts.host import Host

from cpython.unicode cimport PyUnicode_AsUTF8AndSize

from pysidctx.handles cimport is_context
from pysidctx.handshake.host_names cimport LABEL_MAX, in_lower_case, without_last_dot

# The explanations of errors in a pattern.
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

_WRONG = {
    PATTERN_EMPTY: "it is empty",
    PATTERN_TOO_LONG: "it is longer than the 253 characters that a host name can have",
    PATTERN_LABEL_EMPTY: "it has an empty part before, or between, its dots",
    PATTERN_LABEL_TOO_LONG: "a part between dots is longer than 63 characters",
    PATTERN_CHARACTER: "it can contain only letters, digits, hyphens, underscores and dots",
    PATTERN_HYPHEN: "a part between dots must not begin or end with a hyphen",
    PATTERN_WILDCARD: "a wildcard is '*.' at the beginning and stands for one whole label; to handle all "
                      "other names, set `unmatched`",
    PATTERN_ADDRESS: "it is an IP address, which clients never send as a server name: serve it as "
                     "`unmatched`",
}


cdef int read_pattern(Pattern *pattern, object name) except -1:
    """Parse a pattern from a str. Raises TypeError or ValueError."""
    cdef Py_ssize_t length
    cdef const char *text
    cdef int wrong
    if not isinstance(name, str):
        raise TypeError(f"a host pattern must be a str, not {type(name).__name__}{hint_at_pattern(name)}")
    if not name.isascii():
        raise ValueError(f"host pattern {name!r}: {too_much_in(name) or a_label_of(name)}")
    text = PyUnicode_AsUTF8AndSize(name, &length)
    pattern.length = without_last_dot(<const unsigned char *> text, length)
    wrong = check_pattern(pattern.text, <const unsigned char *> text, pattern.length)
    if wrong != PATTERN_OK:
        raise ValueError(f"host pattern {name!r}: {too_much_in(name) or _WRONG[wrong]}")
    return 0


cdef int check_pattern(unsigned char *to, const unsigned char *pattern,
                       size_t length) noexcept nogil:
    """Copy `pattern` in lower case to `to`, a buffer of HOST_NAME_MAX bytes. Returns PATTERN_OK or the error.

    `length` does not include a trailing dot.
    """
    cdef size_t i, start = 2 if length >= 2 and pattern[0] == c'*' and pattern[1] == c'.' else 0
    cdef size_t label = start
    cdef bint digits = True
    if length == start:
        return PATTERN_WILDCARD if start else PATTERN_EMPTY
    if length > HOST_NAME_MAX:
        return PATTERN_TOO_LONG
    for i in range(length):
        to[i] = in_lower_case[pattern[i]] or pattern[i]
    for i in range(start, length + 1):
        if i < length and to[i] != c'.':
            if to[i] == c'*':
                return PATTERN_WILDCARD
            if not in_lower_case[to[i]]:
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
    # No top-level domain is a number, so a name whose last label is a number is an IP address.
    for i in range(label, length):
        digits = digits and c'0' <= to[i] <= c'9'
    return PATTERN_ADDRESS if digits else PATTERN_OK


cdef str hint_at_pattern(object name):
    if is_context(name) or isinstance(name, Host):
        return ": a HostMap maps patterns to contexts, such as {'shop.example': ctx}"
    if isinstance(name, bytes):
        return ": decode it, as with .decode('ascii')"
    return ""


cdef str too_much_in(str name):
    """Explain what to remove from a URL, an e-mail address or a socket address; None if `name` is none of these."""
    extra = []
    _, found, rest = name.strip().rpartition("://")
    if found:
        extra.append("the scheme")
    rest, found, _ = rest.partition("/")
    if found:
        extra.append("the path")
    _, found, rest = rest.rpartition("@")
    if found:
        extra.append("what comes before the @")
    host, found, _ = rest.rpartition(":")
    if found and ":" not in host.rpartition("]")[2]:  # else an IPv6 address without brackets
        rest = host
        extra.append("the port")
    if name != name.strip():
        extra.append("the spaces")
    try:
        ip_address(rest.strip("[]"))
    except ValueError:
        if not extra:
            return None
        return f"leave out {' and '.join(extra)}" + (f": {rest!r}" if rest else "")
    return _WRONG[PATTERN_ADDRESS]


cdef str a_label_of(str name):
    wildcard, rest = ("*.", name[2:]) if name.startswith("*.") else ("", name)
    try:
        try:
            import idna
        except ImportError:
            encoded = rest.encode("idna")
        else:
            encoded = idna.encode(rest, uts46=True)
    except UnicodeError:  # idna.IDNAError is one
        return "it contains non-ASCII characters and cannot be converted to an A-label"
    return f"it is not ASCII: write its A-label, {wildcard + encoded.decode()!r}"
