from libc.stdint cimport uint64_t

from pysidctx.libssl cimport SSL, SSL_SESSION, SSL_MAX_SID_CTX_LENGTH

cdef enum:
    TRUST_LENGTH = 32
    HOST_LENGTH = 255  # bytes, the longest that TLS can send
    LOADED = 1         # as owner: sessions that were read from a file, for any context with these terms

# On what terms a connection accepts its peer, and authenticates itself. A session is offered only on equal ones.
# Compared as bytes, so all of it is set to zero first.
cdef struct Terms:
    unsigned char trust[TRUST_LENGTH]  # what its SSL_CTX trusts, and the certificates by which it authenticates itself
    uint64_t owner                     # the number of the SSL_CTX; 0 if it shares its sessions
    uint64_t flags                     # for verification
    int verify_mode
    int depth
    int auth_level
    int security_level
    unsigned int host_flags
    unsigned int checks_name           # 1: it does; 2: OpenSSL does not tell, so it is assumed to
    unsigned int unlisted              # 1: what it trusts cannot be listed, so `trust` is that of this SSL_CTX alone
    unsigned int id_context_length
    unsigned char id_context[SSL_MAX_SID_CTX_LENGTH]  # that of the user; not CPython's

# Compared as bytes, too.
cdef struct HostKey:
    Terms terms
    unsigned int is_address
    unsigned int length
    char name[HOST_LENGTH + 1]  # in lower case, with its NUL

cdef struct Counts:
    uint64_t stored, offered, resumed, declined, expired, dropped, unlisted

cdef struct StoredSession:
    SSL_SESSION *session    # the only reference
    uint64_t until          # the first second, as a Unix time, in which it must not be offered
    unsigned int port       # of the peer; 0 if it is not known
    bint single_use
    StoredSession *older

# A host that has sessions. It is in one bucket of the table, and in the list of all hosts in the order of their use.
cdef struct HostEntry:
    HostKey key
    size_t hash
    HostEntry *following    # in the bucket
    HostEntry *newer
    HostEntry *older
    StoredSession *newest   # never NULL
    int count

# All fields are protected by the lock of the module.
cdef struct SessionStore:
    size_t references
    size_t generation       # of the process that filled it
    size_t most_hosts
    int per_host
    bint single_use
    size_t mask             # the number of buckets, a power of two, minus 1
    HostEntry **buckets
    HostEntry *newest       # the one that was used last
    HostEntry *oldest
    size_t hosts, sessions
    size_t loaded           # hosts whose sessions were read from a file
    Counts counts

# A session that was copied out of a store, for a file.
cdef struct Copied:
    HostKey key
    SSL_SESSION *session  # holds a reference
    uint64_t until
    unsigned int port

cdef size_t process_generation() noexcept nogil
cdef void lock_stores() noexcept nogil
cdef void unlock_stores() noexcept nogil

cdef SessionStore *new_store(size_t hosts, int per_host, bint single_use) except NULL
cdef void hold_store(SessionStore *store) noexcept nogil
cdef void release_store(SessionStore *store) noexcept nogil
cdef void count_one(uint64_t *counter) noexcept nogil

cdef void put_session(SessionStore *store, const HostKey *key, SSL_SESSION *session, uint64_t until, unsigned int port,
                      bint single_use) noexcept nogil
cdef SSL_SESSION *take_session(SessionStore *store, const HostKey *key, SSL *ssl, uint64_t *until,
                               bint *taken) noexcept nogil
cdef void drop_session(SessionStore *store, const HostKey *key, SSL_SESSION *session,
                       unsigned int port) noexcept nogil
cdef void drop_host(SessionStore *store, const HostKey *key) noexcept nogil
cdef void forget_name(SessionStore *store, const char *name, unsigned int length) noexcept nogil
cdef void forget_owner(SessionStore *store, uint64_t owner) noexcept nogil
cdef void forget_all(SessionStore *store) noexcept nogil
cdef Copied *copy_sessions(SessionStore *store, size_t *count, bint take) noexcept nogil
cdef void free_copied(Copied *copied, size_t count) noexcept nogil
cdef void read_counts(SessionStore *store, Counts *counts, size_t *hosts, size_t *sessions) noexcept nogil
