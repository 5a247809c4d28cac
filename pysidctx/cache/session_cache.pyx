"""SessionCache: sessions that are stored in memory which all workers of a machine share."""

cimport cython

import hashlib
import os
import time
import warnings
from contextlib import suppress

from pysidctx import arguments, secret_files
from pysidctx.cache import memory as shared_memory
from pysidctx.cache.leader import LeaderLock
from pysidctx.cache.replication import Replication
from pysidctx.cache.stats import CacheStats

from libc.errno cimport EBADF, ENOMEM, EPROTO, ETIMEDOUT
from libc.stdint cimport uint64_t

from pysidctx.binding cimport bind_openssl
from pysidctx.cache.batches cimport apply_batch, batch_from, batch_of_forgotten
from pysidctx.cache.callbacks cimport cache_of, stop_using_cache, use_cache
from pysidctx.cache.forgotten cimport (
    FORGOTTEN_NAME_LENGTH, first_list, forget_name, forgotten_generation, is_readable, name_id_context,
)
from pysidctx.cache.outbox cimport outbox_count, outbox_is_active, outbox_load, outbox_numbers, outbox_set
from pysidctx.cache.own_store cimport check_store
from pysidctx.cache.seal cimport SealKeys, derive_labelled, free_seal_keys
from pysidctx.cache.slab cimport slab_count
from pysidctx.cache.store cimport (
    COUNTERS, Cache, Counter, counted, least_size, new_cache, new_store_keys, release_cache,
)
from pysidctx.errors cimport raise_queued
from pysidctx.handles cimport SSL_CTX_from, server_context
from pysidctx.handshake.inert cimport warn_of_cache
from pysidctx.libssl cimport SSL_CTX, SSL_MAX_SID_CTX_LENGTH
from pysidctx.secret cimport Secret, random_secret, secret_in
from pysidctx.tickets.expiry cimport unix_time
from pysidctx.tickets.secret_fingerprint cimport log_loaded, secret_fingerprint
from pysidctx.wrapped cimport unwrapped

bind_openssl()

cdef enum:
    CHECK_LENGTH = 32

SIZE = 64 << 20        # bytes
PERIOD = arguments.PERIOD
LIFETIME = arguments.LIFETIME
PEERS = 4096
MOST_PEERS = 1 << 24
ANNOUNCED_WITHIN = 1   # second

WHEN = ("client-certificates", "always")

# The static methods pass this private token to create a SessionCache, which they then fill in.
cdef object made_here = object()


@cython.final
cdef class SessionCache:
    """Stored sessions, in memory that all workers of a machine share. A worker resumes what another one has stored.

    Use it where client certificates are requested. A ticket carries the client's certificate, which the server decodes
    again at each resumption; a stored session spares it that, in every worker, and it can be revoked. How much that
    saves depends on OpenSSL, whose 3.0 takes longest to decode: `python -m benchmarks cache` measures it.
    Elsewhere tickets cost little more, and take no memory: use `TicketKeys`, on the same SSLContext.

    `SessionCache()` makes anonymous memory and random keys, for one process and the workers that it forks afterwards.
    `SessionCache.from_secret()` and `from_secret_file()` derive the keys from a secret, and share a file in memory
    with all processes that have the secret, however they were started.

    Sessions are sealed with AES-256-GCM, with a key for each period. No lock is ever held while a session is stored or
    found: a process that is killed at any moment leaves at worst a session that nobody can read.

    A session can be resumed until `lifetime` seconds have passed since its full handshake, until any certificate of the
    chain by which the client was verified has expired (`notAfter`) or a revocation list that was used for it is out of
    date (`nextUpdate`), or until it is forgotten: see `forget()`.

    size
        An int, in bytes: how much memory to share, at least 1,048,576. A session takes 320 bytes, a client certificate
        usually 2,144, so the default of 64 MiB holds about 150,000 sessions of 7,500 clients. When it is full, the
        sessions that end first are overwritten. All processes must pass the same size.
    lifetime
        An int, in seconds: at most 604,800 (7 days; RFC 8446, section 4.6.1), and at most 1,000 periods.
    period
        An int, in seconds: how long each key seals new sessions. All processes must pass the same period.
    peers
        An int: how many decoded client certificates each process keeps, at about 7 KB each. If more clients than that
        come back, their certificates are decoded again.

    Raises TypeError if an argument is not an int, ValueError if it is out of range, OSError or MemoryError if there is
    not enough memory, and `pysidctx.Error` if OpenSSL fails. Any thread may use a SessionCache at any time. Handshakes
    use it in C, without the GIL. Keys are overwritten before their memory is freed, and `repr()` does not show them.

    Anyone who has the secret and can read the memory can impersonate either side in connections that are resumed, and
    decrypt recordings of TLS 1.2 connections whose sessions it holds. See SSL_CTX_sess_set_get_cb(3) for how OpenSSL
    uses stored sessions.
    """

    cdef Cache *cache
    cdef int file              # the descriptor of the memory, for the lock of what was forgotten; -1: none
    cdef uint64_t device       # and the inode, of that file
    cdef uint64_t inode
    cdef object path           # of the memory, absolute; None if it is anonymous
    cdef object secret_path    # the absolute path that from_secret_file() has read; otherwise None
    cdef object peers
    cdef object leader         # the LeaderLock; None until it is needed
    cdef readonly object _made_in  # the id of the process that created random keys; otherwise None
    cdef object __weakref__

    def __cinit__(self, token=None, *, size=SIZE, lifetime=LIFETIME, period=PERIOD, peers=PEERS):
        cdef Secret secret
        self.file = -1
        if token is made_here:
            return
        if token is not None:
            raise TypeError("SessionCache() takes only keyword arguments: to derive keys from a secret, call "
                            "SessionCache.from_secret() or SessionCache.from_secret_file()")
        with random_secret() as secret:
            fill(self, secret, None, size, lifetime, period, peers, None)
        self._made_in = os.getpid()

    def __dealloc__(self):
        if self.cache is not NULL:
            release_cache(self.cache)
        if self.file >= 0 and is_memory_of(self, self.file):
            os.close(self.file)

    @staticmethod
    def from_secret(secret, *, memory=None, size=SIZE, lifetime=LIFETIME, period=PERIOD, peers=PEERS, store=None):
        """Return a SessionCache whose keys derive from a secret.

        secret
            A bytes-like object of 32 to 1,024 bytes that nobody can guess, such as `secrets.token_bytes(32)`; not a
            password. It may be that of the `TicketKeys`: the keys differ.
        memory
            The path of a file that the processes share, such as "/dev/shm/shop". The first of them makes it, with mode
            0600; it stays until it is removed. It must belong to the user of this process and be inaccessible to
            others. None: anonymous memory, for workers that are forked afterwards.
        size, lifetime, period, peers
            As for `SessionCache()`.
        store
            An object with the methods `get(key)`, `put(key, value, seconds)` and `delete(key)`, in which sessions are
            stored instead of the memory. `key` is a bytes of 33 bytes, `value` a bytes of at most 1,064, which get()
            returns, or None; `seconds` an int: how long it is needed. The memory then only tells what was forgotten, so
            1 MiB is enough, and what is forgotten is so in the processes that share the memory. Handshakes call the
            methods, with the GIL, and wait for them: a dict costs a microsecond, a database on this machine many, and
            one across the network blocks an event loop for a round trip, which is why `replicate()` exists. An
            exception goes to `sys.unraisablehook`, and counts as a session that is not there.

        The key of period number n is the 32 bytes of HKDF-SHA256 (RFC 5869) with the salt `pysidctx session cache 1`
        and, as info, n as a big-endian integer of 8 bytes.

        Raises TypeError if the secret is not a contiguous bytes-like object, `memory` is not a path, or `store` lacks a
        method; ValueError if the secret is too short or too long, or if the file is no such memory, was made with
        another secret, size or period or by another version, was truncated, or is not this user's alone; OSError if it
        cannot be made or opened, for example because the file system is full; and whatever `SessionCache()` raises.
        Messages name the file. Safe in any thread.
        """
        return derived(secret, None, memory, size, lifetime, period, peers, store)

    @staticmethod
    def from_secret_file(path=secret_files.OF_ENVIRONMENT, *, memory=None, size=SIZE, lifetime=None, period=None,
                         peers=PEERS, store=None):
        """Return a SessionCache that derives from the secret in a file. `python -m pysidctx secret` creates one.

        path
            The path of a file with a secret, as for `TicketKeys.from_secret_file()`. Without `path`, the environment
            variable PYSIDCTX_SECRET_FILE names the file.
        memory, size, lifetime, period, peers, store
            As for `from_secret()`. If `lifetime` and `period` are omitted together with `path`, the environment
            variables PYSIDCTX_LIFETIME and PYSIDCTX_PERIOD are used, if they are set.

        The result can be pickled if `memory` is a path: the pickle holds both paths.

        Raises OSError if the file cannot be read; ValueError if it is not such a file, if other users have access to
        it, if `path` is omitted and the environment variable is empty or not set, or if one of the others is not a
        number or out of range; TypeError if `path` is not a path; and whatever `from_secret()` raises.
        Messages name the file and do not show its content. Safe in any thread.
        """
        period, lifetime = secret_files.times(path, period, lifetime)
        with secret_files.read(path) as (absolute, secret):
            return derived(secret, absolute, memory, size, lifetime, period, peers, store)

    def install(self, ctx, when="client-certificates"):
        """Store the sessions of the connections that `ctx` creates, and resume what is stored.

        ctx
            An `ssl.SSLContext` of PROTOCOL_TLS_SERVER from which a server creates its connections. This cache replaces
            any that was installed on it before. One SessionCache may be installed on any number of contexts.
        when
            "client-certificates": store the sessions of connections on which a client certificate is requested. The
            other ones keep their tickets, and a session is stored only if its client does not know tickets (in
            TLS 1.2). "always": store all sessions, and issue no tickets.

        Takes effect for connections whose ClientHello is read after the call. If a `HostMap` is installed on `ctx`,
        too, the host's SSLContext decides whether a client certificate is requested. The order in which TicketKeys,
        HostMap and SessionCache are installed does not matter. Tickets that were issued before are not accepted on
        connections whose sessions are stored: these clients get one full handshake.

        A session is resumed only if its id context also equals that of the connection: see `set_session_id_context()`,
        and `resumable()`, which sets both. Two applications that share a secret and a memory need different id
        contexts. What `TicketKeys.install()` says of `sni_callback` applies here, too.

        Raises TypeError if `ctx` is not an `ssl.SSLContext`; ValueError if it is a context for clients or for a single
        TLS version, or if `when` is neither word; and `pysidctx.Error` or MemoryError if OpenSSL fails. Then nothing is
        changed. Emits a RuntimeWarning if `when` is "client-certificates" and no context that serves requests one yet:
        set `verify_mode`, and install a `HostMap`, before. So does it if `ctx` is a host of a HostMap, and the
        listener has no SessionCache.

        Safe in any thread, while handshakes run in others. Replaces the context's callbacks for sessions and tickets,
        its information callback, and its session cache mode: see SSL_CTX_sess_set_get_cb(3),
        SSL_CTX_set_info_callback(3) and SSL_CTX_set_session_cache_mode(3).
        """
        used = unwrapped(ctx)
        cdef SSL_CTX *target = server_context(used, "a session cache is installed on")
        if when not in WHEN:
            raise ValueError(f'when must be "client-certificates" or "always", not {when!r}')
        warn_of_cache(used, when == "always")
        with cython.critical_section(used):
            use_cache(target, self.cache, when == "always")

    def uninstall(self, ctx):
        """Make OpenSSL keep the sessions of the connections that `ctx` creates, and issue tickets, again.

        Takes effect for connections whose ClientHello is read after the call. Their clients' stored sessions are not
        resumed. The context's session cache mode returns to its value before `install()`.

        Raises TypeError if `ctx` is not an `ssl.SSLContext`, and ValueError if this cache is not installed on it. Safe
        in any thread, while handshakes run in others.
        """
        used = unwrapped(ctx)
        cdef SSL_CTX *target = SSL_CTX_from(used)
        cdef bint stopped
        with cython.critical_section(used):
            stopped = stop_using_cache(target, self.cache)
        if not stopped:
            raise ValueError("this SessionCache is not installed on this SSLContext")

    def _when_on(self, ctx):
        """Return when this cache is used on an SSLContext that creates connections; None if it is not installed."""
        cdef SSL_CTX *target = SSL_CTX_from(ctx)
        cdef Cache *found
        cdef bint always
        with cython.critical_section(ctx):
            found = cache_of(target, &always)
        if found is not self.cache:
            return None
        return "always" if always else "client-certificates"

    def forget(self, *, peer=None, id_context=None):
        """Forget the stored sessions of a client, or of an id context, that were made until now, in all processes.

        peer
            The client's certificate, in DER: a bytes-like object, such as `getpeercert(binary_form=True)` returns. Its
            sessions are forgotten in all id contexts.
        id_context
            A bytes-like object of at most 32 bytes: the sessions of this id context are forgotten, whoever their
            client is.

        Takes effect at once, in every process that shares the memory: the client's next handshake is a full one, in
        which its certificate is verified. Connections that are established go on. Sessions made in the same second are
        forgotten, too; and if the clock was set back, so are those that are made until it has made up for that. Up to
        4,000 things can be forgotten within 7 days; with one more, all sessions are forgotten. Tickets are not stored
        and cannot be forgotten.

        Raises TypeError if not exactly one argument is passed, or if it is not a contiguous bytes-like object;
        ValueError if `peer` is not a certificate in DER or `id_context` is too long; TimeoutError if another process
        has not finished its own call for 5 seconds; OSError if the memory cannot be locked, for example because the
        program has closed all descriptors; MemoryError; and `pysidctx.Error` if OpenSSL fails. Then nothing is
        forgotten. Emits a RuntimeWarning if the file of the memory was removed or replaced: processes that were started
        since use other memory, in which nothing was forgotten. Safe in any thread.
        """
        cdef unsigned char name[FORGOTTEN_NAME_LENGTH]
        cdef bytes told
        if (peer is None) == (id_context is None):
            raise TypeError("forget() takes either peer or id_context: to forget all sessions, call forget_all()")
        if peer is not None:
            told = hashlib.sha256(copied_certificate(peer)).digest()
            forget_in(self, told)
            return
        told = copied(id_context, "id_context")
        if len(told) > SSL_MAX_SID_CTX_LENGTH:
            raise ValueError(f"an id context has at most {SSL_MAX_SID_CTX_LENGTH} bytes, not {len(told)}")
        if not name_id_context(told, len(told), name):
            raise_queued(b"EVP_Digest()")
        forget_in(self, name[:FORGOTTEN_NAME_LENGTH])

    def forget_all(self):
        """Forget all stored sessions that were made until now, in all processes that share the memory.

        Takes effect as `forget()` does, and raises and warns as it does. Safe in any thread.
        """
        forget_in(self, None)

    def replicate(self, channel):
        """Exchange sessions with the caches of other machines that have the same secret and period.

        channel
            A `pysidctx.valkey.Channel`, or another object with the methods of `pysidctx.cache.replication.Channel`.

        Returns a `Replication`, whose `stop()` ends it. Call it in each worker, or in the process that forks them: one
        process of those that share the memory does the work, in two threads, and no handshake ever waits for it.
        While the channel is down, clients that change machines get a full handshake; `stats().dropped` counts what the
        other machines have missed. The logger `pysidctx` tells when the channel is lost, and when it is back.

        What is forgotten on one machine is forgotten on all: while the channel is up, within 50 ms or so. If it cannot
        be sent within a second, `forget()` and `forget_all()` emit a RuntimeWarning, and it is the first that is sent
        when the channel is back. Sessions that were made less than 5 seconds after something was forgotten are
        refused, too, because the clocks of machines differ.

        Raises TypeError if `channel` lacks a method, or if the keys are random: no other machine has them. Takes
        effect within a second. Safe in any thread.
        """
        if self._made_in is not None:
            raise TypeError("a SessionCache with random keys cannot be replicated, because no other machine has the "
                            "keys: use SessionCache.from_secret_file()")
        for name in ("publish", "receive"):
            if not callable(getattr(channel, name, None)):
                raise TypeError(f"the channel {channel!r} has no method {name}(): pass a pysidctx.valkey.Channel")
        return Replication(self, channel)

    # For Replication.

    def _lead(self):
        """Become, or stay, the process of this machine that replicates. Returns False if another one does."""
        if self.leader is None:
            self.leader = LeaderLock(self.file)
        return self.leader.take()

    def _follow(self):
        """Let another process replicate."""
        if self.leader is not None:
            self.leader.release()

    def _keep_active(self, uint64_t seconds):
        outbox_set(&self.cache.outgoing.numbers.active, unix_time() + seconds if seconds else 0)

    def _head(self):
        return outbox_load(&self.cache.outgoing.numbers.head)

    def _outgoing(self, uint64_t turn, size_t most, bint skip_unfinished):
        count, batch = batch_from(self.cache, &turn, most, skip_unfinished)
        return turn, count, batch

    def _forgotten(self):
        cdef uint64_t generation = 0
        batch = batch_of_forgotten(self.cache, &generation)
        return generation, batch

    def _generation(self):
        return forgotten_generation(self.cache.forgotten.memory)

    def _announce(self, generation):
        outbox_set(&self.cache.outgoing.numbers.announced, 0 if generation is None else generation + 1)

    def _incoming(self, bytes batch not None, bint forgotten_alone, uint64_t lag):
        outbox_set(&self.cache.outgoing.numbers.lag, lag)
        return apply_batch(self.cache, self.file, batch, forgotten_alone)

    def _count_published(self, uint64_t count):
        outbox_count(&self.cache.outgoing.numbers.published, count)

    def _drop(self, uint64_t count):
        outbox_count(&self.cache.outgoing.numbers.dropped, count)

    def _lose(self):
        # Peers are sent again when they come back.
        outbox_count(&self.cache.outgoing.numbers.losses, 1)

    def stats(self):
        """Return a `CacheStats`: what this process has stored and found since the cache was made, on all contexts.

        Safe in any thread.
        """
        cdef outbox_numbers *numbers = self.cache.outgoing.numbers
        return CacheStats(*[counted(self.cache, <Counter> <int> counter) for counter in range(COUNTERS)],
                          outbox_load(&numbers.published), outbox_load(&numbers.received),
                          outbox_load(&numbers.dropped), outbox_load(&numbers.lag))

    @property
    def lifetime(self):
        """How long a session can be resumed after its full handshake: an int, in seconds."""
        return self.cache.lifetime

    @property
    def period(self):
        """How long each key seals new sessions: an int, in seconds."""
        return self.cache.keys.period

    @property
    def size(self):
        """How much memory the processes share: an int, in bytes."""
        return self.cache.size

    @property
    def memory(self):
        """The absolute path of the file that the processes share; None for anonymous memory."""
        return self.path

    @property
    def fingerprint(self):
        """The 8 hexadecimal digits by which to compare the secret with that of another machine: a str.

        As `TicketKeys.fingerprint`, and equal to it if the secret is the same. Raises `pysidctx.Error` if OpenSSL
        fails.
        """
        return secret_fingerprint(self.cache.keys.secret, self.cache.keys.secret_length)

    def __len__(self):
        """Return how many sessions are in the memory that have not ended, whoever stored them. Reads all of it."""
        cdef uint64_t found
        cdef uint64_t now = unix_time()
        with nogil:
            found = slab_count(&self.cache.sessions, now)
        return found

    def __bool__(self):
        return True

    def __repr__(self):
        return f"<SessionCache {'in ' + repr(self.path) if self.path else 'anonymous'}, size={self.size}, " \
               f"lifetime={self.lifetime}>"

    def __reduce__(self):
        if self.secret_path is None or self.path is None or self.cache.own is not NULL:
            raise TypeError("only a SessionCache with a secret from a file, with memory in a file and without a store "
                            "of its own can be pickled or copied: use SessionCache.from_secret_file(path, memory=path)")
        return _from_secret_file, (self.secret_path, self.path, self.size, self.lifetime, self.period, self.peers)


def _from_secret_file(path, memory, size, lifetime, period, peers):
    """For pickle."""
    return SessionCache.from_secret_file(path, memory=memory, size=size, lifetime=lifetime, period=period, peers=peers)


cdef SessionCache derived(object secret, object path, object memory, object size, object lifetime, object period,
                          object peers, object store):
    """Return a SessionCache that derives from a secret: that of the file `path`, unless it is None."""
    cdef SessionCache made = SessionCache.__new__(SessionCache, made_here)
    cdef Secret used
    with secret_in(secret) as used:
        fill(made, used, memory, size, lifetime, period, peers, store)
    made.secret_path = path
    log_loaded("a session cache", path, made.fingerprint)
    return made


cdef int fill(SessionCache made, Secret secret, object path, object size, object lifetime, object period, object peers,
              object store) except -1:
    cdef SealKeys *keys
    cdef unsigned char told[CHECK_LENGTH]
    if store is not None:
        check_store(store)
    least = max(shared_memory.MIN_SIZE, <object> least_size())
    size = arguments.checked_int("size", size, least, shared_memory.MAX_SIZE, "bytes")
    made.peers = arguments.checked_int("peers", peers, 1, MOST_PEERS, "certificates")
    each, longest = arguments.checked_times(period, lifetime)
    keys = new_store_keys(secret.data, secret.length, each, longest)
    try:
        if not derive_labelled(keys, b"check", told, CHECK_LENGTH):
            raise_queued(b"EVP_PKEY_derive()")
        identity = shared_memory.Identity(size, each, told[:CHECK_LENGTH])
        first = first_list(keys)
        if path is None:
            made.file = shared_memory.anonymous(identity, first)
        else:
            made.file = shared_memory.shared(path, identity, first)
            made.path = os.path.abspath(os.fsdecode(path))
        status = os.fstat(made.file)
        made.device, made.inode = status.st_dev, status.st_ino
        made.cache = new_cache(keys, made.file, size, longest, made.peers, store)
    except BaseException:
        free_seal_keys(keys)
        raise
    if not is_readable(&made.cache.forgotten, unix_time()):
        # Otherwise every process that is started later would take all sessions made until then for forgotten.
        with suppress(TimeoutError):
            forget_in(made, None)
    return 0


cdef int forget_in(SessionCache made, bytes named) except -1:
    cdef const unsigned char *name = NULL
    cdef uint64_t now = unix_time()
    cdef int failure
    cdef Cache *cache = made.cache
    cdef int file = made.file
    if not is_memory_of(made, made.file):
        raise OSError(EBADF, "nothing was forgotten, because the program has closed the descriptor of the cache's "
                      "memory: create the SessionCache after what closes all descriptors")
    if named is not None:
        name = named
    with nogil:
        failure = forget_name(&cache.forgotten, file, name, now)
    if failure == ETIMEDOUT:
        raise TimeoutError("nothing was forgotten, because another process has been changing the list of what was "
                           "forgotten for 5 seconds: if it is stopped, let it go on or end it, and try again")
    if failure == EPROTO:
        raise_queued(b"EVP_EncryptUpdate()")
    if failure == ENOMEM:
        raise MemoryError("nothing was forgotten, because memory ran out")
    if failure != 0:
        raise OSError(failure, "nothing was forgotten, because the cache's memory cannot be locked: "
                      f"{os.strerror(failure)}")
    if made.path is not None and not is_memory_of(made, made.path):
        warnings.warn(
            f"{made.path!r} was removed or replaced while this process used it: processes that were started since use "
            "other memory, in which nothing was forgotten. Restart this process, and do the same in one of the others",
            RuntimeWarning)
    if outbox_is_active(&cache.outgoing, now) and not is_announced(cache):
        warnings.warn("forgotten on this machine, but not yet on the others: the channel that replicates the cache is "
                      "down. They are told first when it is back", RuntimeWarning)
    return 0


cdef bint is_announced(Cache *cache) except -1:
    """Whether the other machines were told what was forgotten. Waits for that a second."""
    cdef uint64_t generation = forgotten_generation(cache.forgotten.memory)
    end = time.monotonic() + ANNOUNCED_WITHIN
    while outbox_load(&cache.outgoing.numbers.announced) <= generation:
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


cdef bint is_memory_of(SessionCache made, object file) except -1:
    """Whether a path or a descriptor is that of the memory: the program may have removed or closed it."""
    try:
        status = os.stat(file)
    except OSError:
        return False
    return status.st_dev == made.device and status.st_ino == made.inode


cdef bytes copied(object data, str name):
    try:
        return bytes(memoryview(data).cast("B"))
    except TypeError:
        raise TypeError(f"{name} must be a contiguous bytes-like object, not {type(data).__name__}") from None


cdef bytes copied_certificate(object peer):
    cdef bytes der = copied(peer, "peer")
    cdef Py_ssize_t header, length
    # A SEQUENCE whose length takes up the rest: what is in it is the certificate's issuer's business.
    if len(der) > 4 and der[0] == 0x30 and 0x81 <= der[1] <= 0x83:
        header = 2 + (der[1] - 0x80)
        length = int.from_bytes(der[2:header], "big")
        if header + length == len(der):
            return der
    raise ValueError("peer is not a certificate in DER: pass what getpeercert(binary_form=True) returns, or convert a "
                     "PEM certificate with ssl.PEM_cert_to_DER_cert()")
