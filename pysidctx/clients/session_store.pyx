"""Sessions by host, in memory: a bounded table, from which the host that was not used for longest is removed.

One lock protects all stores. It is held for a few comparisons of pointers and bytes, and never while OpenSSL frees or
duplicates a session, nor while a thread waits for the GIL. A fork takes it, so that a child finds the stores whole. The
child empties each store before it uses it: no two processes may offer the same ticket.
"""

from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from pysidctx.binding cimport bind_openssl
from pysidctx.errors cimport check
from pysidctx.handshake.listener cimport host_key
from pysidctx.handshake.siphash cimport siphash
from pysidctx.libssl cimport (
    SSL, SSL_CIPHER, SSL_get_ciphers, SSL_get_fd, SSL_SESSION, SSL_SESSION_free, SSL_SESSION_get0_cipher,
    SSL_SESSION_up_ref, STACK_OF_SSL_CIPHER,
    sk_SSL_CIPHER_num, sk_SSL_CIPHER_value,
)
from pysidctx.sessions.offer cimport ACCEPTABLE, refusal_of
from pysidctx.tickets.expiry cimport unix_time

bind_openssl()

cdef extern from "clients/peer_port.h" nogil:
    unsigned int peer_port "pysidctx_peer_port" (int file)

cdef extern from "pthread.h" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_init(pthread_mutex_t *mutex, const void *attributes)
    int pthread_mutex_lock(pthread_mutex_t *mutex)
    int pthread_mutex_unlock(pthread_mutex_t *mutex)
    int pthread_atfork(void (*prepare)() noexcept nogil, void (*parent)() noexcept nogil,
                       void (*child)() noexcept nogil)

cdef pthread_mutex_t stores_lock
cdef size_t generation  # the number of forks from the first process to this one


cdef size_t process_generation() noexcept nogil:
    """Return a number that the process has since it was forked, and its parent has not."""
    return generation


cdef void lock_stores() noexcept nogil:
    pthread_mutex_lock(&stores_lock)


cdef void unlock_stores() noexcept nogil:
    pthread_mutex_unlock(&stores_lock)


cdef SessionStore *new_store(size_t hosts, int per_host, bint single_use) except NULL:
    """Return an empty store, with one reference. Raises MemoryError."""
    cdef size_t buckets = 8
    while buckets < hosts:
        buckets *= 2
    cdef SessionStore *store = <SessionStore *> calloc(1, sizeof(SessionStore))
    if store is not NULL:
        store.buckets = <HostEntry **> calloc(buckets, sizeof(HostEntry *))
    if store is NULL or store.buckets is NULL:
        free(store)
        raise MemoryError("out of memory while making a ClientSessions")
    store.references = 1
    store.generation = generation
    store.most_hosts = hosts
    store.per_host = per_host
    store.single_use = single_use
    store.mask = buckets - 1
    return store


cdef void hold_store(SessionStore *store) noexcept nogil:
    """Call it with the lock."""
    store.references += 1


cdef void release_store(SessionStore *store) noexcept nogil:
    """Call it without the lock. `store` may be NULL."""
    cdef StoredSession *removed = NULL
    cdef bint last
    if store is NULL:
        return
    lock_stores()
    store.references -= 1
    last = store.references == 0
    if last:
        removed = remove_all(store)
    unlock_stores()
    free_sessions(removed)
    if last:
        free(store.buckets)
        free(store)


cdef void count_one(uint64_t *counter) noexcept nogil:
    lock_stores()
    counter[0] += 1
    unlock_stores()


# The functions below this line, up to the next one, are called with the lock. They return the sessions that they remove
# from a store, in a list, for the caller to free when it has unlocked.


cdef StoredSession *renew(SessionStore *store) noexcept nogil:
    """Empty a store that the process was forked with."""
    if store.generation == generation:
        return NULL
    store.generation = generation
    memset(&store.counts, 0, sizeof(Counts))
    return remove_all(store)


cdef size_t hash_of(const HostKey *key) noexcept nogil:
    return <size_t> (siphash(host_key(), <const unsigned char *> &key.terms, sizeof(Terms)).words[0]
                     ^ siphash(host_key(), <const unsigned char *> key.name, key.length).words[1])


cdef bint is_same_host(const HostKey *key, const HostKey *other) noexcept nogil:
    return (key.length == other.length and key.is_address == other.is_address
            and memcmp(key.name, other.name, key.length) == 0
            and memcmp(&key.terms, &other.terms, sizeof(Terms)) == 0)


cdef HostEntry *find_host(SessionStore *store, const HostKey *key, size_t hash) noexcept nogil:
    cdef HostEntry *host = store.buckets[hash & store.mask]
    while host is not NULL and not (host.hash == hash and is_same_host(&host.key, key)):
        host = host.following
    return host


cdef void link_newest(SessionStore *store, HostEntry *host) noexcept nogil:
    host.newer = NULL
    host.older = store.newest
    if store.newest is NULL:
        store.oldest = host
    else:
        store.newest.newer = host
    store.newest = host


cdef void unlink_use(SessionStore *store, HostEntry *host) noexcept nogil:
    if host.newer is NULL:
        store.newest = host.older
    else:
        host.newer.older = host.older
    if host.older is NULL:
        store.oldest = host.newer
    else:
        host.older.newer = host.newer


cdef void use_host(SessionStore *store, HostEntry *host) noexcept nogil:
    if store.newest is not host:
        unlink_use(store, host)
        link_newest(store, host)


cdef void free_host(SessionStore *store, HostEntry *host) noexcept nogil:
    """Remove a host without sessions."""
    cdef HostEntry **at = &store.buckets[host.hash & store.mask]
    while at[0] is not host:
        at = &at[0].following
    at[0] = host.following
    unlink_use(store, host)
    store.hosts -= 1
    store.loaded -= host.key.terms.owner == LOADED
    free(host)


cdef StoredSession *remove_host(SessionStore *store, HostEntry *host) noexcept nogil:
    cdef StoredSession *removed = host.newest
    store.sessions -= host.count
    free_host(store, host)
    return removed


cdef StoredSession *joined(StoredSession *first, StoredSession *second) noexcept nogil:
    """Return both lists as one."""
    cdef StoredSession *last = first
    if first is NULL:
        return second
    while last.older is not NULL:
        last = last.older
    last.older = second
    return first


cdef StoredSession *remove_all(SessionStore *store) noexcept nogil:
    cdef StoredSession *removed = NULL
    while store.oldest is not NULL:
        removed = joined(remove_host(store, store.oldest), removed)
    return removed


cdef StoredSession *cut(SessionStore *store, HostEntry *host, StoredSession **at) noexcept nogil:
    """Remove one session from the list of a host, which may become empty."""
    cdef StoredSession *removed = at[0]
    at[0] = removed.older
    removed.older = NULL
    host.count -= 1
    store.sessions -= 1
    return removed


cdef bint offers_cipher(SSL *ssl, SSL_SESSION *session) noexcept nogil:
    """Whether the connection offers the cipher of the session: a server that resumed it would break off otherwise."""
    cdef const SSL_CIPHER *wanted = SSL_SESSION_get0_cipher(session)
    cdef STACK_OF_SSL_CIPHER *ciphers = SSL_get_ciphers(ssl)
    cdef int i
    for i in range(sk_SSL_CIPHER_num(ciphers)):
        if sk_SSL_CIPHER_value(ciphers, i) is wanted:
            return True
    return False


cdef StoredSession **choose(SessionStore *store, HostEntry *host, SSL *ssl, StoredSession **removed) noexcept nogil:
    """Return the place of the session to offer: the newest of the peer's port, or else of any; NULL if there is none.

    Data channels of FTP have other ports, memory BIOs none, and that of a proxy is not the server's.
    """
    cdef unsigned int port = peer_port(SSL_get_fd(ssl))
    cdef StoredSession **chosen = NULL
    cdef StoredSession **at = &host.newest
    cdef StoredSession *ended
    cdef uint64_t now = unix_time()
    while at[0] is not NULL:
        if now >= at[0].until:
            ended = cut(store, host, at)
            store.counts.expired += 1
            removed[0] = joined(ended, removed[0])
            continue
        if refusal_of(ssl, at[0].session) == ACCEPTABLE and offers_cipher(ssl, at[0].session):
            if port == 0 or at[0].port == port:
                return at
            if chosen is NULL:
                chosen = at
        at = &at[0].older
    return chosen


cdef HostEntry *host_made(SessionStore *store, const HostKey *key, StoredSession **removed) noexcept nogil:
    """Return the entry of a host, a new one if needed; NULL if memory runs out."""
    cdef size_t hash = hash_of(key)
    cdef HostEntry *host = find_host(store, key, hash)
    if host is not NULL:
        use_host(store, host)
        return host
    host = <HostEntry *> calloc(1, sizeof(HostEntry))
    if host is NULL:
        return NULL
    if store.hosts == store.most_hosts:
        store.counts.dropped += store.oldest.count
        removed[0] = joined(remove_host(store, store.oldest), removed[0])
    memcpy(&host.key, key, sizeof(HostKey))
    host.hash = hash
    host.following = store.buckets[hash & store.mask]
    store.buckets[hash & store.mask] = host
    link_newest(store, host)
    store.hosts += 1
    store.loaded += host.key.terms.owner == LOADED
    return host


cdef SSL_SESSION *take_from(SessionStore *store, const HostKey *key, SSL *ssl, uint64_t *until, bint *taken,
                            StoredSession **removed) noexcept nogil:
    """Do what take_session() does, for one entry of the table."""
    cdef HostEntry *host = find_host(store, key, hash_of(key))
    cdef SSL_SESSION *session = NULL
    cdef StoredSession **at
    cdef StoredSession *single
    if host is NULL:
        return NULL
    at = choose(store, host, ssl, removed)
    if at is not NULL:
        until[0] = at[0].until
        taken[0] = at[0].single_use
        if taken[0]:
            single = cut(store, host, at)
            session = single.session
            free(single)
        elif SSL_SESSION_up_ref(at[0].session):
            session = at[0].session
    if host.newest is NULL:
        free_host(store, host)
    else:
        use_host(store, host)
    return session


cdef void drop_from(SessionStore *store, HostEntry *host, SSL_SESSION *session, unsigned int port,
                    StoredSession **removed) noexcept nogil:
    """Remove one session of a host. `host` may be NULL."""
    cdef StoredSession **at
    if host is NULL:
        return
    at = &host.newest
    while at[0] is not NULL and at[0].session is not session:
        at = &at[0].older
    if at[0] is not NULL and (port == 0 or at[0].port == 0 or at[0].port == port):
        removed[0] = joined(cut(store, host, at), removed[0])
    if host.newest is NULL:
        free_host(store, host)


cdef void drop_all_from(SessionStore *store, HostEntry *host, StoredSession **removed) noexcept nogil:
    """Remove all sessions of a host. `host` may be NULL."""
    if host is not NULL:
        store.counts.dropped += host.count
        removed[0] = joined(remove_host(store, host), removed[0])


# These are called without it.


cdef void free_sessions(StoredSession *stored) noexcept nogil:
    """Free a list of sessions. OpenSSL wipes their secrets."""
    cdef StoredSession *older
    while stored is not NULL:
        older = stored.older
        SSL_SESSION_free(stored.session)
        free(stored)
        stored = older


cdef void put_session(SessionStore *store, const HostKey *key, SSL_SESSION *session, uint64_t until, unsigned int port,
                      bint single_use) noexcept nogil:
    """Store a session, whose only reference the caller hands over."""
    cdef StoredSession *stored = <StoredSession *> malloc(sizeof(StoredSession))
    cdef StoredSession *removed
    cdef StoredSession **at
    cdef HostEntry *host
    if stored is NULL:
        SSL_SESSION_free(session)
        return
    stored.session = session
    stored.until = until
    stored.port = port
    stored.single_use = single_use
    lock_stores()
    removed = renew(store)
    host = host_made(store, key, &removed)
    if host is NULL:
        stored.older = removed
        removed = stored
    else:
        stored.older = host.newest
        host.newest = stored
        host.count += 1
        store.sessions += 1
        store.counts.stored += 1
        if host.count > store.per_host:
            at = &host.newest
            while at[0].older is not NULL:
                at = &at[0].older
            store.counts.dropped += 1
            removed = joined(cut(store, host, at), removed)
    unlock_stores()
    free_sessions(removed)


cdef SSL_SESSION *take_session(SessionStore *store, const HostKey *key, SSL *ssl, uint64_t *until,
                               bint *taken) noexcept nogil:
    """Return a session that `ssl` can offer to a host, and until when; NULL if there is none.

    The caller owns a reference. If `taken` is set, it is the only one, and the session is not in the store any more:
    the connection may have it. Otherwise, the connection gets a duplicate.
    """
    cdef StoredSession *removed
    cdef SSL_SESSION *session = NULL
    cdef HostKey loaded
    lock_stores()
    removed = renew(store)
    if store.hosts:
        session = take_from(store, key, ssl, until, taken, &removed)
        if session is NULL and store.loaded:
            copy_as_loaded(&loaded, key)
            session = take_from(store, &loaded, ssl, until, taken, &removed)
    unlock_stores()
    free_sessions(removed)
    return session


cdef void copy_as_loaded(HostKey *loaded, const HostKey *key) noexcept nogil:
    """Copy the key under which a session is stored that was read from a file."""
    memcpy(loaded, key, sizeof(HostKey))
    loaded.terms.owner = LOADED


cdef void drop_session(SessionStore *store, const HostKey *key, SSL_SESSION *session,
                       unsigned int port) noexcept nogil:
    """Remove a session that the server at `port` has declined, if it is still there.

    It stays if it is known to be of another port, where another server may accept it.
    """
    cdef StoredSession *removed
    cdef HostKey loaded
    lock_stores()
    removed = renew(store)
    drop_from(store, find_host(store, key, hash_of(key)), session, port, &removed)
    if store.loaded:
        copy_as_loaded(&loaded, key)
        drop_from(store, find_host(store, &loaded, hash_of(&loaded)), session, port, &removed)
    unlock_stores()
    free_sessions(removed)


cdef void drop_host(SessionStore *store, const HostKey *key) noexcept nogil:
    """Remove all sessions of a host, because one of them may have made a handshake fail."""
    cdef StoredSession *removed
    cdef HostKey loaded
    lock_stores()
    removed = renew(store)
    drop_all_from(store, find_host(store, key, hash_of(key)), &removed)
    if store.loaded:
        copy_as_loaded(&loaded, key)
        drop_all_from(store, find_host(store, &loaded, hash_of(&loaded)), &removed)
    unlock_stores()
    free_sessions(removed)


cdef void forget_name(SessionStore *store, const char *name, unsigned int length) noexcept nogil:
    """Remove all sessions of a host, on whatever terms. `name` is in lower case."""
    cdef StoredSession *removed
    cdef HostEntry *host
    cdef HostEntry *older
    lock_stores()
    removed = renew(store)
    host = store.newest
    while host is not NULL:
        older = host.older
        if host.key.length == length and memcmp(host.key.name, name, length) == 0:
            removed = joined(remove_host(store, host), removed)
        host = older
    unlock_stores()
    free_sessions(removed)


cdef void forget_owner(SessionStore *store, uint64_t owner) noexcept nogil:
    """Remove the sessions that one SSL_CTX keeps to itself."""
    cdef StoredSession *removed
    cdef HostEntry *host
    cdef HostEntry *older
    lock_stores()
    removed = renew(store)
    host = store.newest
    while host is not NULL:
        older = host.older
        if host.key.terms.owner == owner:
            removed = joined(remove_host(store, host), removed)
        host = older
    unlock_stores()
    free_sessions(removed)


cdef void forget_all(SessionStore *store) noexcept nogil:
    cdef StoredSession *removed
    lock_stores()
    removed = renew(store)
    removed = joined(remove_all(store), removed)
    unlock_stores()
    free_sessions(removed)


cdef void read_counts(SessionStore *store, Counts *counts, size_t *hosts, size_t *sessions) noexcept nogil:
    cdef StoredSession *removed
    lock_stores()
    removed = renew(store)
    counts[0] = store.counts
    hosts[0] = store.hosts
    sessions[0] = store.sessions
    unlock_stores()
    free_sessions(removed)


cdef Copied *copy_sessions(SessionStore *store, size_t *count, bint take) noexcept nogil:
    """Return the sessions that have not expired, the oldest first, for free_copied(). Returns NULL if memory runs out.

    If `take` is set, those that can be used once are removed from the store, unless they cannot be saved.
    """
    cdef StoredSession *removed
    cdef StoredSession **at
    cdef Copied *copied
    cdef HostEntry *host
    cdef HostEntry *newer
    cdef uint64_t now = unix_time()
    cdef size_t first, i
    cdef Copied swapped
    count[0] = 0
    lock_stores()
    removed = renew(store)
    copied = <Copied *> calloc(store.sessions + 1, sizeof(Copied))
    host = store.oldest if copied is not NULL else NULL
    while host is not NULL:
        newer = host.newer
        first = count[0]
        at = &host.newest
        while at[0] is not NULL:
            if now < at[0].until and SSL_SESSION_up_ref(at[0].session):
                memcpy(&copied[count[0]].key, &host.key, sizeof(HostKey))
                copied[count[0]].session = at[0].session
                copied[count[0]].until = at[0].until
                copied[count[0]].port = at[0].port
                count[0] += 1
                if take and at[0].single_use and not host.key.terms.unlisted:
                    removed = joined(cut(store, host, at), removed)
                    continue
            at = &at[0].older
        for i in range((count[0] - first) // 2):
            swapped = copied[first + i]
            copied[first + i] = copied[count[0] - 1 - i]
            copied[count[0] - 1 - i] = swapped
        if host.newest is NULL:
            free_host(store, host)
        host = newer
    unlock_stores()
    free_sessions(removed)
    return copied


cdef void free_copied(Copied *copied, size_t count) noexcept nogil:
    cdef size_t i
    if copied is not NULL:
        for i in range(count):
            SSL_SESSION_free(copied[i].session)
    free(copied)


cdef void begin_child() noexcept nogil:
    """The child's only thread does not hold the lock, and what is stored belongs to its parent."""
    global generation
    pthread_mutex_init(&stores_lock, NULL)
    generation += 1


check(pthread_mutex_init(&stores_lock, NULL) == 0, b"pthread_mutex_init()")
check(pthread_atfork(lock_stores, unlock_stores, begin_child) == 0, b"pthread_atfork()")
