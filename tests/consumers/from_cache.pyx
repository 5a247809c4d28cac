# distutils: libraries = ssl crypto
# cython: cdivision=True
"""Records and templates, for tests: pointers of OpenSSL's are numbers here."""

from libc.stdint cimport uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memset

from pysidctx.cache.record cimport MOST_RECORD, Record, apply_record, read_record, write_record
from pysidctx.cache.templates cimport (
    MOST_TEMPLATE, PEER_LENGTH, TEMPLATE_KEY_LENGTH, Templates, add_template, describe_peer, drop_templates,
    duplicate_template, free_templates, new_templates,
)
from pysidctx.libssl cimport OPENSSL_free, SSL, SSL_SESSION, SSL_SESSION_free
from pysidctx.tickets.times cimport Times

most_record = MOST_RECORD
most_template = MOST_TEMPLATE


def record_of(uintptr_t session, bytes key, full, until, end):
    cdef unsigned char out[MOST_RECORD + 8]
    cdef Times times
    times.full, times.until = full, until
    memset(out, 0xEE, sizeof(out))
    cdef size_t length = write_record(<SSL_SESSION *> session, key, &times, end, out)
    assert out[length:sizeof(out)] == b"\xEE" * (sizeof(out) - length)
    return out[:length]


def key_in(bytes record):
    cdef Record found
    return found.template_key[:TEMPLATE_KEY_LENGTH] if read_record(record, len(record), &found) else None


def times_in(bytes record):
    cdef Record found
    return (found.times.full, found.times.until) if read_record(record, len(record), &found) else None


def apply(uintptr_t ssl, uintptr_t copy, bytes id, bytes record):
    assert len(id) == 32
    cdef Record found
    return (read_record(record, len(record), &found)
            and apply_record(<SSL *> ssl, <SSL_SESSION *> copy, id, &found))


def describe(uintptr_t session):
    """The key and the template; None if that fails."""
    cdef unsigned char key[TEMPLATE_KEY_LENGTH]
    cdef unsigned char *der = NULL
    cdef size_t length
    if not describe_peer(<SSL_SESSION *> session, key, &der, &length):
        assert der is NULL
        return None
    try:
        return key[:TEMPLATE_KEY_LENGTH], der[:length]
    finally:
        OPENSSL_free(der)


cdef struct Named:
    const unsigned char *key
    const unsigned char *der
    size_t length


cdef class Table:
    cdef Templates *templates

    def __cinit__(self, size_t peers):
        self.templates = new_templates(peers)

    def __dealloc__(self):
        free_templates(self.templates)

    def add(self, bytes key, bytes der):
        return add_template(self.templates, key, der, len(der))

    def drop(self):
        with nogil:
            drop_templates(self.templates)

    def duplicate(self, bytes key):
        """The session, which the caller frees, and the digest of the peer; None if there is none."""
        cdef unsigned char peer[PEER_LENGTH]
        cdef SSL_SESSION *copy = duplicate_template(self.templates, key, peer)
        return None if copy is NULL else (<uintptr_t> copy, peer[:PEER_LENGTH])

    def churn(self, list known, size_t seed, size_t rounds, bint lookups=False):
        """Duplicate templates, or add them where they are missing, but not if `lookups`, without the GIL.

        Returns how many were duplicated, and how many were not as they should be, which is none.
        """
        cdef Named *named = <Named *> malloc(len(known) * sizeof(Named))
        cdef size_t i, count = len(known), found = 0, wrong = 0
        assert named is not NULL
        for i in range(count):
            named[i].key, named[i].der, named[i].length = known[i][0], known[i][1], len(known[i][1])
        with nogil:
            for i in range(rounds):
                seed = seed * 6364136223846793005ULL + 1442695040888963407ULL
                if is_found(self.templates, &named[(seed >> 33) % count], lookups, i % 16 == 0, &wrong):
                    found += 1
        free(named)
        return found, wrong


cdef bint is_found(Templates *templates, const Named *named, bint lookups, bint compare,
                   size_t *wrong) noexcept nogil:
    cdef unsigned char peer[PEER_LENGTH]
    cdef unsigned char key[TEMPLATE_KEY_LENGTH]
    cdef unsigned char *der
    cdef size_t length
    cdef SSL_SESSION *copy = duplicate_template(templates, named.key, peer)
    if copy is NULL:
        wrong[0] += not lookups and not add_template(templates, named.key, named.der, named.length)
        return False
    if compare:
        wrong[0] += (not describe_peer(copy, key, &der, &length)
                     or memcmp(key, named.key, TEMPLATE_KEY_LENGTH) != 0)
        OPENSSL_free(der)
    SSL_SESSION_free(copy)
    return True
