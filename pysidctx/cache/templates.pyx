"""Templates: sessions without what each has of its own, so that all sessions of a peer share one; kept decoded.

OpenSSL takes far longer to decode a session with a certificate than to duplicate it. A template has no secret and no
host name. It has what no function of OpenSSL's sets: the peer's certificate and the result of verifying it, the flag of
the extended master secret, the group of the key exchange, and the like.
"""

from libc.stdint cimport SIZE_MAX, uint32_t
from libc.string cimport memcmp, memcpy

from pysidctx.binding cimport bind_openssl
from pysidctx.errors cimport check
from pysidctx.id_contexts.derivation cimport sha256_md
from pysidctx.libssl cimport (
    ERR_pop_to_mark, ERR_set_mark, EVP_Digest, OPENSSL_clear_free, OPENSSL_free, OPENSSL_zalloc, SSL_SESSION_dup,
    SSL_SESSION_free, d2i_SSL_SESSION, i2d_SSL_SESSION,
)
from pysidctx.lockfree.readers cimport (
    atomic_load_explicit, atomic_size_t, atomic_store_explicit, free_retired, gate_enter, gate_init, gate_leave,
    memory_order_relaxed, reader_gate, retire, retired_node, shared_exchange, shared_load, shared_pointer,
)

bind_openssl()

cdef extern from "pthread.h" nogil:
    int pthread_atfork(void (*prepare)() noexcept nogil, void (*parent)() noexcept nogil,
                       void (*child)() noexcept nogil)

cdef enum:
    WAYS = 8            # slots of a set
    PREFIX_LENGTH = 15
    SEQUENCE = 0x30     # tags of DER
    TAGGED = 0xA0       # explicitly, with the number in the lowest five bits
    TAG_NUMBER = 0x1F
    PEER = 3

# What SSL_SESSION_ASN1 in OpenSSL's ssl/ssl_asn1.c begins with: its version 1, the protocol version and the cipher, of
# which d2i_SSL_SESSION() accepts only known ones, an empty session id and an empty master key.
cdef const char *PREFIX = b"\x02\x01\x01" b"\x02\x02\x03\x03" b"\x04\x02\x13\x01" b"\x04\x00" b"\x04\x00"

# Elements of SSL_SESSION_ASN1 that a template lacks, by their numbers. There are setters for the time (1), the timeout
# (2), the id context (4), the host name (6), max_early_data (15), ALPN (16) and the application data (18). Servers'
# sessions have neither a ticket (10) nor its lifetime hint (9). tick_age_add (14) is random for each session, and
# matters only for early data.
cdef uint32_t OMITTED = 1 << 1 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 9 | 1 << 10 | 1 << 14 | 1 << 15 | 1 << 16 | 1 << 18

cdef struct Element:
    unsigned char tag
    const unsigned char *data  # its contents
    const unsigned char *end

# Immutable once it is published in a slot, but for `used`.
cdef struct Template:
    retired_node node
    unsigned char key[TEMPLATE_KEY_LENGTH]
    unsigned char peer[PEER_LENGTH]
    SSL_SESSION *session  # the only reference; only duplicates are handed out
    atomic_size_t used    # the set's clock at the latest use

cdef struct Set:
    shared_pointer slots[WAYS]  # Templates
    atomic_size_t clock         # counts uses of another template than the latest

cdef struct Templates:
    size_t mask  # the number of sets, a power of two, minus 1
    Set *sets

# Counts those who read slots.
cdef reader_gate gate
# Templates that are in no slot any more, which are freed when nobody can use them.
cdef shared_pointer retired


cdef bint describe_peer(SSL_SESSION *session, unsigned char *key, unsigned char **der, size_t *length) noexcept nogil:
    """Write the template of `session` and its key: the SHA-256 digest of the template, TEMPLATE_KEY_LENGTH (32) bytes.

    The caller frees `der` with OPENSSL_free(). Returns False, and sets `der` to NULL, if OpenSSL fails or the template
    is longer than MOST_TEMPLATE bytes.
    """
    cdef unsigned char *encoded = NULL
    cdef int size
    der[0] = NULL
    ERR_set_mark()
    size = i2d_SSL_SESSION(session, &encoded)
    if size > 0:
        der[0] = template_from(encoded, size, length)
        OPENSSL_clear_free(encoded, size)
    if der[0] is not NULL and not EVP_Digest(der[0], length[0], key, NULL, sha256_md, NULL):
        OPENSSL_free(der[0])
        der[0] = NULL
    ERR_pop_to_mark()
    return der[0] is not NULL


cdef unsigned char *template_from(const unsigned char *encoded, size_t size, size_t *length) noexcept nogil:
    """Return the template of an encoded session, for OPENSSL_free(); NULL if that fails."""
    cdef unsigned char *made
    cdef unsigned char *at
    cdef size_t kept = copy_kept(encoded, size, NULL)
    if kept == 0 or kept > MOST_TEMPLATE - 4:
        return NULL
    made = <unsigned char *> OPENSSL_zalloc(kept + 4)
    if made is NULL:
        return NULL
    at = made
    at[0] = SEQUENCE
    if kept >= 0x100:
        at[1] = 0x82
        at[2] = <unsigned char> (kept >> 8)
        at += 2
    elif kept >= 0x80:
        at[1] = 0x81
        at += 1
    at[1] = <unsigned char> kept
    at += 2
    at += copy_kept(encoded, size, at)
    length[0] = at - made
    return made


cdef size_t copy_kept(const unsigned char *encoded, size_t size, unsigned char *out) noexcept nogil:
    """Write the contents of the template of an encoded session, if `out` is not NULL, and return their length.

    Returns 0 if the session is malformed.
    """
    cdef Element session, element
    cdef const unsigned char *at
    cdef size_t length, kept = PREFIX_LENGTH
    cdef int _
    if not read_element(encoded, encoded + size, &session) or session.tag != SEQUENCE:
        return 0
    at = session.data
    for _ in range(5):  # those that PREFIX replaces
        if not read_element(at, session.end, &element):
            return 0
        at = element.end
    if out is not NULL:
        memcpy(out, PREFIX, PREFIX_LENGTH)
    while at != session.end:
        if not read_element(at, session.end, &element) or not is_tagged(&element):
            return 0
        if is_kept(&element):
            length = element.end - at
            if out is not NULL:
                memcpy(out + kept, at, length)
            kept += length
        at = element.end
    return kept


cdef bint read_element(const unsigned char *at, const unsigned char *end, Element *element) noexcept nogil:
    """Read the tag and the length of the element at `at`. Returns False if it does not end by `end`."""
    cdef size_t length
    cdef int octets
    if end - at < 2:
        return False
    element.tag = at[0]
    length = at[1]
    at += 2
    if length >= 0x80:
        octets = <int> (length & 0x7F)
        if not 1 <= octets <= 4 or end - at < octets:
            return False
        length = 0
        while octets:
            length = length << 8 | at[0]
            at += 1
            octets -= 1
    if <size_t> (end - at) < length:
        return False
    element.data = at
    element.end = at + length
    return True


cdef bint is_tagged(const Element *element) noexcept nogil:
    return element.tag & ~TAG_NUMBER == TAGGED and element.tag & TAG_NUMBER != TAG_NUMBER


cdef bint is_kept(const Element *element) noexcept nogil:
    return not OMITTED >> (element.tag & TAG_NUMBER) & 1


cdef bint read_template(const unsigned char *der, size_t length, Element *peer) noexcept nogil:
    """Whether these bytes have the form that describe_peer() writes. `peer` is set to the certificate.

    Its `data` is NULL if there is none.
    """
    cdef Element session, element
    cdef const unsigned char *at
    peer.data = NULL
    if (not read_element(der, der + length, &session) or session.tag != SEQUENCE or session.end != der + length
            or session.end - session.data < PREFIX_LENGTH or memcmp(session.data, PREFIX, PREFIX_LENGTH) != 0):
        return False
    at = session.data + PREFIX_LENGTH
    while at != session.end:
        if not read_element(at, session.end, &element) or not is_tagged(&element) or not is_kept(&element):
            return False
        if element.tag & TAG_NUMBER == PEER:
            peer[0] = element
        at = element.end
    return True


cdef Templates *new_templates(size_t peers) except NULL:
    """Create a table with room for the templates of about that many peers. Raises MemoryError."""
    cdef size_t sets = 1
    cdef Templates *templates = NULL
    if peers <= SIZE_MAX // (4 * sizeof(Set)):
        while sets * WAYS < 2 * peers:  # so that few sets are full before the table is
            sets *= 2
        ERR_set_mark()
        templates = <Templates *> OPENSSL_zalloc(sizeof(Templates))
        if templates is not NULL:
            templates.mask = sets - 1
            templates.sets = <Set *> OPENSSL_zalloc(sets * sizeof(Set))
            if templates.sets is NULL:
                OPENSSL_free(templates)
                templates = NULL
        ERR_pop_to_mark()
    if templates is NULL:
        raise MemoryError(f"out of memory for the sessions' templates of {peers} peers")
    return templates


cdef void free_templates(Templates *templates) noexcept nogil:
    """Free a table, or NULL, when no other thread uses it any more."""
    if templates is not NULL:
        drop_templates(templates)
        OPENSSL_free(templates.sets)
        OPENSSL_free(templates)


cdef SSL_SESSION *duplicate_template(Templates *templates, const unsigned char *key,
                                     unsigned char *peer) noexcept nogil:
    """Return a duplicate of the template with that key, which the caller owns; NULL if there is none.

    NULL, too, if there is no memory: errors are then left in OpenSSL's queue. It has no secret: OpenSSL must not be
    given it before apply_record() has made a session of it. `peer` gets the SHA-256 digest of the peer's certificate,
    PEER_LENGTH (32) bytes; zeros if there is none.
    """
    cdef Set *found = set_of(templates, key)
    cdef SSL_SESSION *copy = NULL
    cdef atomic_size_t *inside = gate_enter(&gate)
    cdef Template *template = find_in(found, key)
    if template is not NULL:
        note_use(found, template)
        memcpy(peer, template.peer, PEER_LENGTH)
        copy = SSL_SESSION_dup(template.session)
    gate_leave(inside)
    return copy


cdef bint add_template(Templates *templates, const unsigned char *key, const unsigned char *der,
                       size_t length) noexcept nogil:
    """Decode a template that describe_peer() wrote, and put it into the table.

    If its set is full, the template of that set goes that was not used for longest. Returns False if the template is
    malformed or has another key, or if there is no memory.
    """
    cdef Set *found = set_of(templates, key)
    cdef Template *made
    cdef Template *former
    cdef atomic_size_t *inside = gate_enter(&gate)
    cdef bint known = find_in(found, key) is not NULL
    gate_leave(inside)
    if known:
        return True
    made = decoded(key, der, length)
    if made is NULL:
        return False
    inside = gate_enter(&gate)
    note_use(found, made)
    former = <Template *> shared_exchange(slot_for(found, key), made)
    if former is not NULL:
        retire(&retired, &former.node)
    gate_leave(inside)
    free_retired(&retired, &gate, free_template)
    return True


cdef Template *decoded(const unsigned char *key, const unsigned char *der, size_t length) noexcept nogil:
    cdef Template *made
    cdef Element peer
    cdef const unsigned char *end = der
    cdef bint done
    if length > MOST_TEMPLATE or not read_template(der, length, &peer):
        return NULL
    ERR_set_mark()
    made = <Template *> OPENSSL_zalloc(sizeof(Template))
    if made is not NULL:
        done = EVP_Digest(der, length, made.key, NULL, sha256_md, NULL) and memcmp(
            made.key, key, TEMPLATE_KEY_LENGTH) == 0
        if done and peer.data is not NULL:
            done = EVP_Digest(peer.data, peer.end - peer.data, made.peer, NULL, sha256_md, NULL)
        if done:
            made.session = d2i_SSL_SESSION(NULL, &end, <long> length)
        if made.session is NULL:
            free_template(made)
            made = NULL
    ERR_pop_to_mark()
    return made


cdef void free_template(void *given) noexcept nogil:
    cdef Template *template = <Template *> given
    SSL_SESSION_free(template.session)
    OPENSSL_free(template)


cdef Set *set_of(Templates *templates, const unsigned char *key) noexcept nogil:
    cdef size_t number
    memcpy(&number, key, sizeof(number))
    return &templates.sets[number & templates.mask]


# What follows is called between gate_enter() and gate_leave().

cdef Template *find_in(Set *found, const unsigned char *key) noexcept nogil:
    cdef Template *template
    cdef int i
    for i in range(WAYS):
        template = <Template *> shared_load(&found.slots[i])
        if template is not NULL and memcmp(template.key, key, TEMPLATE_KEY_LENGTH) == 0:
            return template
    return NULL


cdef void note_use(Set *found, Template *template) noexcept nogil:
    """Make it the one that was used last. If other threads do the same, which of them is the last is open."""
    cdef size_t clock = atomic_load_explicit(&found.clock, memory_order_relaxed)
    if atomic_load_explicit(&template.used, memory_order_relaxed) != clock or clock == 0:
        atomic_store_explicit(&found.clock, clock + 1, memory_order_relaxed)
        atomic_store_explicit(&template.used, clock + 1, memory_order_relaxed)


cdef shared_pointer *slot_for(Set *found, const unsigned char *key) noexcept nogil:
    """Return the slot of that key, else an empty one, else that which was not used for longest."""
    cdef shared_pointer *slot = NULL
    cdef Template *template
    cdef size_t used, least = SIZE_MAX
    cdef int i
    for i in range(WAYS):
        template = <Template *> shared_load(&found.slots[i])
        if template is not NULL and memcmp(template.key, key, TEMPLATE_KEY_LENGTH) == 0:
            return &found.slots[i]
        used = 0 if template is NULL else atomic_load_explicit(&template.used, memory_order_relaxed)
        if slot is NULL or used < least:
            slot, least = &found.slots[i], used
    return slot

# What follows is not.


cdef void drop_templates(Templates *templates) noexcept nogil:
    """Remove all templates from the table."""
    cdef Template *former
    cdef size_t i
    cdef int j
    for i in range(templates.mask + 1):
        for j in range(WAYS):
            former = <Template *> shared_exchange(&templates.sets[i].slots[j], NULL)
            if former is not NULL:
                retire(&retired, &former.node)
    free_retired(&retired, &gate, free_template)


cdef void renew_gate() noexcept nogil:
    """Nobody is inside: at import, and again in a forked child, which lacks the threads that were.

    What such a thread was changing is still consistent, because each change is a single store. At worst a template
    is never freed.
    """
    gate_init(&gate)


renew_gate()
check(pthread_atfork(NULL, NULL, renew_gate) == 0, b"pthread_atfork()")
