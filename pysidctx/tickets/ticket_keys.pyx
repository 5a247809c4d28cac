"""TicketKeys: the keys of session tickets, the same for all workers of a server."""

cimport cython

import os

from pysidctx import arguments, private_files, secret_files
from pysidctx.deferred_log import add_source
from pysidctx.log import log
from pysidctx.tickets import rotations
from pysidctx.tickets.stats import TicketStats

from cpython.bytearray cimport PyByteArray_AS_STRING
from libc.stdlib cimport calloc, free

from pysidctx.binding cimport bind_openssl
from pysidctx.handles cimport SSL_CTX_from, server_context
from pysidctx.handshake.inert cimport warn_of_keys
from pysidctx.libssl cimport OPENSSL_cleanse, SSL_CTX
from pysidctx.secret cimport Secret, random_secret, secret_in
from pysidctx.tickets.callbacks cimport stop_using, use_keyring
from pysidctx.tickets.keyring cimport (
    ACCEPTED, EXPIRED, INVALID, ISSUED, Keyring, RENEWED, TicketKey, UNKNOWN_KEY,
    derive_from, new_keyring, read_key, release_keyring, set_keys, tickets_counted,
)
from pysidctx.tickets.secret_fingerprint cimport fingerprint_text, log_loaded
from pysidctx.wrapped cimport unwrapped

bind_openssl()


PERIOD = arguments.PERIOD
LIFETIME = arguments.LIFETIME

KEY_FILE = private_files.Content("a ticket key", ValueError, 4096, "", group_of_root=True)
add_source(rotations.tell)

# The static methods pass this private token to create a TicketKeys without keys, which they then set.
cdef object made_here = object()


@cython.final
cdef class TicketKeys:
    """The keys that encrypt session tickets. Processes that have the same keys resume each other's sessions.

    `TicketKeys()` creates random keys, for one process and the workers that it forks afterwards.
    `TicketKeys.from_secret()` derives the same keys in every process that has the same secret;
    `from_secret_file()` reads the secret from a file; `from_files()` reads key files in the format of
    nginx or Apache httpd.

    All keys except those from files rotate automatically: HKDF-SHA256 (RFC 5869) derives one key for
    each period from the secret and the number of the period, so that servers always agree on the keys
    without exchanging messages. A ticket that was encrypted with the key of an earlier period is accepted
    and renewed until `lifetime` has passed. A ticket that was encrypted with the key of the next period
    is accepted too, because the clocks of servers differ.

    A ticket carries the time of its full handshake. When `lifetime` seconds have passed since then, the
    next handshake is a full one, however often the ticket was renewed; TLS 1.3 renews it at each
    resumption. The next handshake is also a full one as soon as any certificate of the chain by which
    the client was verified has expired (`notAfter`), or a revocation list that was used for it is out of
    date (`nextUpdate`). Sessions that OpenSSL caches for clients without tickets end at the same times.

    period
        An int, in seconds: how long each key encrypts new tickets.
    lifetime
        An int, in seconds: at most 604,800 (7 days; RFC 8446, section 4.6.1), and at most 1,000 periods.

    Raises TypeError if an argument is not an int, ValueError if it is out of range, and `pysidctx.Error`
    if OpenSSL has no random numbers. Any thread may use a TicketKeys at any time. Handshakes use the
    keys in C, without the GIL. Keys are overwritten before their memory is freed, and `repr()` does not
    show them.

    Anyone who has the keys or the secret can impersonate either side in connections that are resumed with
    their tickets. A TLS 1.2 resumption exchanges no new keys, so they can also decrypt recordings of those
    connections and of the connection in which the ticket was issued. Protect the keys like the server's
    private key.
    """

    cdef Keyring *ring
    cdef object paths        # the argument of from_files(); otherwise None
    cdef object secret_path  # the absolute path that from_secret_file() has read; otherwise None
    cdef readonly object _made_in  # the id of the process that created random keys; otherwise None
    cdef bint hmac_first
    cdef object encrypting   # the name of the key in the first file when it was read last; None for other keys
    cdef object __weakref__

    def __cinit__(self, token=None, *, period=PERIOD, lifetime=LIFETIME):
        cdef Secret secret
        if token is made_here:
            return
        if token is not None:
            raise TypeError("TicketKeys() takes only the keyword arguments period and lifetime: to derive keys from a "
                            "secret, call TicketKeys.from_secret()")
        with random_secret() as secret:
            derive_keys(self, secret, period, lifetime)
        self._made_in = os.getpid()

    def __dealloc__(self):
        if self.ring is not NULL:
            release_keyring(self.ring)

    @staticmethod
    def from_secret(secret, *, period=PERIOD, lifetime=LIFETIME):
        """Return a TicketKeys whose keys derive from a secret: equal secrets and periods give equal keys.

        secret
            A bytes-like object of 32 to 1,024 bytes that nobody can guess, such as
            `secrets.token_bytes(32)`; not a password. Applications that must not resume each other's
            sessions may share a secret if their id contexts differ.
        period, lifetime
            As for `TicketKeys()`.

        Period number n is the Unix time in seconds, divided by `period` and rounded down. Its key is the
        80 bytes of HKDF-SHA256 with the salt `pysidctx ticket keys 1` and, as info, n as a big-endian
        integer of 8 bytes: 16 bytes for the name, 32 for HMAC-SHA256, 32 for AES-256-CBC.

        Raises TypeError if the secret is not a contiguous bytes-like object (encode a `str` first),
        ValueError if it is too short or too long, and whatever `TicketKeys()` raises. The secret is copied.
        The copy is overwritten when the TicketKeys is freed; the caller may overwrite the original at any
        time after the call. Safe in any thread.
        """
        return derived(secret, None, period, lifetime)

    @staticmethod
    def from_secret_file(path=secret_files.OF_ENVIRONMENT, *, period=None, lifetime=None):
        """Return a TicketKeys that derives from the secret in a file. `python -m pysidctx secret` creates one.

        path
            The path of a file whose 32 to 1,024 bytes are the secret, without any encoding. The file must
            belong to the user of this process and be inaccessible to others (mode 0600 or stricter), or
            belong to root, in which case a group may read it (mode 0640). Without `path`, the environment
            variable PYSIDCTX_SECRET_FILE names the file.
        period, lifetime
            As for `TicketKeys()`. If they are omitted together with `path`, the environment variables PYSIDCTX_PERIOD
            and PYSIDCTX_LIFETIME are used, if they are set.

        The result can be pickled: the pickle holds the path, and the file is read again.

        Raises OSError if the file cannot be read; ValueError if it is not such a file, if other users have
        access to it, if `path` is omitted and the environment variable is empty or not set, or if one of the
        others is not a number or out of range; TypeError if `path` is not a path; and whatever `from_secret()`
        raises. Messages name the file and do not show its content. Safe in any thread.
        """
        period, lifetime = secret_files.times(path, period, lifetime)
        with secret_files.read(path) as (absolute, secret):
            return derived(secret, absolute, period, lifetime)

    @staticmethod
    def from_files(paths, *, lifetime=LIFETIME, layout="nginx"):
        """Return a TicketKeys whose keys are read from files, one key from each.

        paths
            An iterable of paths. The first file's key encrypts; the keys of all files decrypt. To rotate,
            replace the contents of the files, so that the first holds a new key and the last key is dropped,
            and call `reload()`. A file holds 48 bytes (16 for the name, then 16 for AES-128-CBC and 16 for
            HMAC-SHA256) or 80 bytes (16 for the name, then 32 for HMAC-SHA256 and 32 for AES-256-CBC), as
            for nginx's `ssl_session_ticket_key`. HAProxy stores the same keys in base64, one on each line:
            decode each line into a separate file. The files' owner and mode must be as for
            `from_secret_file()`.
        lifetime
            As for `TicketKeys()`.
        layout
            "nginx", or "apache" for 48-byte files of Apache httpd's `SSLSessionTicketKeyFile`, in which the
            16 bytes for HMAC come before those for AES.

        These keys do not change until `reload()` is called. Tickets that other programs have issued with the
        same keys are not accepted, because they do not carry the time of the full handshake: their clients
        get a full handshake.

        Raises TypeError if `paths` is a single path; ValueError if it is empty, if two files hold keys of the
        same name, if a file has another size, or if other users have access to one; and OSError if a file
        cannot be read. Messages name the file and do not show its content. Safe in any thread.
        """
        cdef TicketKeys made = TicketKeys.__new__(TicketKeys, made_here)
        if isinstance(paths, (str, bytes, os.PathLike)):
            raise TypeError("from_files() takes an iterable of paths, not a single path: pass a list, even for one "
                            "file")
        if layout not in ("nginx", "apache"):
            raise ValueError(f'layout must be "nginx" or "apache", not {layout!r}')
        made.paths = tuple(paths)
        made.hmac_first = layout == "apache"
        if not made.paths:
            raise ValueError("from_files() needs at least one key file, but the iterable of paths is empty")
        made.ring = new_keyring(arguments.checked_int("lifetime", lifetime, 1, arguments.MAX_LIFETIME, "seconds"))
        log_keys(made, read_files(made))
        return made

    def reload(self):
        """Read the files of `from_files()` again. The first file's key encrypts every ticket issued after the call.

        Call it in each worker. To rotate without full handshakes, first give all workers the new key in a
        file after the first one, so that each can decrypt with it; then make it the first file's key.

        Raises whatever `from_files()` raises, and ValueError if the keys are not from files; then nothing is
        changed. Safe in any thread, while handshakes run in others.
        """
        if self.paths is None:
            raise ValueError("reload() is only for keys from files: these keys derive from a secret and rotate "
                             "automatically")
        log_keys(self, read_files(self))

    def install(self, ctx):
        """Encrypt and decrypt the tickets of all connections that `ctx` creates with these keys.

        ctx
            An `ssl.SSLContext` of PROTOCOL_TLS_SERVER from which a server creates its connections. These
            keys replace any that were installed on it before. One TicketKeys may be installed on any number
            of contexts. The context's session timeout (`SSL_CTX_set_timeout()`) becomes `lifetime`.

        Takes effect for tickets that are issued or read after the call. A connection uses the keys of the
        context that created it, even if a `HostMap` switches it to another context. A session is
        resumed only if its id context also equals that of the connection: see `set_session_id_context()`,
        and `resumable()`, which sets both.

        If `sni_callback`, or an assignment to a connection's `context`, switches a connection to another
        context after its id context was chosen, a resumed session bypasses the client verification that the
        other context requires. The first such switch on a connection that issues or accepts a ticket emits a
        RuntimeWarning, and this process resumes no more sessions of the original context. One session may
        have been resumed before that. In TLS 1.2, OpenSSL passes `sni_callback` the host name of the session
        instead of the one that the client asks for, so a session of another host is resumed without any
        switch. Use a `HostMap` instead.

        Raises TypeError if `ctx` is not an `ssl.SSLContext`, ValueError if it is a context for clients or
        for a single TLS version, and `pysidctx.Error` if OpenSSL fails. Then nothing is changed. Emits a
        RuntimeWarning if the keys have no effect because the context issues no tickets: its `options` contain
        OP_NO_TICKET, or its `num_tickets` is 0. If a `HostMap` is installed on `ctx`, the contexts that serve
        its hosts are checked instead. So does it if `ctx` is a host of a HostMap, and the listener has no keys.

        Safe in any thread, while handshakes run in others. Replaces the context's ticket callbacks: see
        SSL_CTX_set_tlsext_ticket_key_evp_cb(3) and SSL_CTX_set_session_ticket_cb(3).
        """
        used = unwrapped(ctx)
        cdef SSL_CTX *target = server_context(used, "ticket keys are installed on")
        warn_of_keys(used)
        with cython.critical_section(used):
            use_keyring(target, self.ring)

    def uninstall(self, ctx):
        """Make the connections that `ctx` creates use OpenSSL's own ticket keys again.

        Takes effect for tickets that are issued or read after the call: tickets that were encrypted with
        these keys are no longer accepted. The session timeout returns to its value before `install()`.

        Raises TypeError if `ctx` is not an `ssl.SSLContext`, ValueError if these keys are not installed on
        it, and MemoryError. Safe in any thread, while handshakes run in others. See
        SSL_CTX_set_tlsext_ticket_key_evp_cb(3).
        """
        used = unwrapped(ctx)
        cdef SSL_CTX *target = SSL_CTX_from(used)
        cdef bint stopped
        with cython.critical_section(used):
            stopped = stop_using(target, self.ring)
        if not stopped:
            raise ValueError("these TicketKeys are not installed on this SSLContext")

    def stats(self):
        """Return a `TicketStats`: counts of tickets in this process since the keys were created, over all contexts.

        Safe in any thread.
        """
        return TicketStats(*[tickets_counted(self.ring, counter) for counter in (
            ISSUED, ACCEPTED, RENEWED, UNKNOWN_KEY, EXPIRED, INVALID)])

    @property
    def lifetime(self):
        """How long a session can be resumed after its full handshake: an int, in seconds."""
        return self.ring.lifetime

    @property
    def period(self):
        """How long each key encrypts new tickets: an int, in seconds; None for keys from files."""
        return self.ring.period or None

    @property
    def fingerprint(self):
        """The 8 hexadecimal digits by which to compare the secret with that of another machine: a str.

        They are equal if the secrets are, whatever `period` and `lifetime` are, and equal those of a `SessionCache`
        with the same secret. None for keys from files. Safe to log: they are 4 bytes of HKDF-SHA256 (RFC 5869), with
        the salt `pysidctx secret fingerprint 1` and no info, from which the secret cannot be computed.
        """
        return fingerprint_text(self.ring.fingerprint) if self.ring.period else None

    def __repr__(self):
        if self.paths is not None:
            names = ", ".join(repr(os.fsdecode(path)) for path in self.paths)
            return f"<TicketKeys from {names}, lifetime={self.lifetime}>"
        return f"<TicketKeys period={self.period} lifetime={self.lifetime}>"

    def __reduce__(self):
        if self.secret_path is not None:
            return _from_secret_file, (self.secret_path, self.period, self.lifetime)
        if self.paths is not None:
            paths = [os.path.abspath(path) for path in self.paths]
            return _from_files, (paths, self.lifetime, "apache" if self.hmac_first else "nginx")
        raise TypeError("only TicketKeys that were read from files can be pickled or copied: write the secret to a "
                        "file that only the other processes can read, and use TicketKeys.from_secret_file()")


def _from_secret_file(path, period, lifetime):
    """For pickle."""
    return TicketKeys.from_secret_file(path, period=period, lifetime=lifetime)


def _from_files(paths, lifetime, layout):
    """For pickle."""
    return TicketKeys.from_files(paths, lifetime=lifetime, layout=layout)


cdef TicketKeys derived(object secret, object path, object period, object lifetime):
    """Return a TicketKeys that derives from a secret: that of the file `path`, unless it is None."""
    cdef TicketKeys made = TicketKeys.__new__(TicketKeys, made_here)
    cdef Secret used
    with secret_in(secret) as used:
        derive_keys(made, used, period, lifetime)
    made.secret_path = path
    log_loaded("ticket keys", path, made.fingerprint)
    return made


cdef int derive_keys(TicketKeys made, Secret secret, object period, object lifetime) except -1:
    each, longest = arguments.checked_times(period, lifetime)
    made.ring = new_keyring(longest)
    return derive_from(made.ring, secret.data, secret.length, each)


cdef bytes read_files(TicketKeys made):
    """Use the keys that are in the files now. Returns the name of the first one, which tickets carry in the clear."""
    cdef size_t length = len(made.paths)
    cdef TicketKey *keys = <TicketKey *> calloc(length, sizeof(TicketKey))
    cdef size_t i
    if keys is NULL:
        raise MemoryError("out of memory while reading ticket keys")
    try:
        for i in range(length):
            read_file(&keys[i], made.paths[i], made.hmac_first)
        refuse_equal_names(keys, made.paths)
        set_keys(made.ring, keys, length)
        return keys[0].name[:sizeof(keys[0].name)]
    finally:
        OPENSSL_cleanse(keys, length * sizeof(TicketKey))
        free(keys)


cdef int log_keys(TicketKeys made, bytes name) except -1:
    """Log that keys were read from files; `name` is that of the key that encrypts now."""
    what = "loaded" if made.encrypting is None else "reloaded" if made.encrypting == name else "rotated"
    made.encrypting = name
    log.info("ticket keys %s: the key with the name %s encrypts new tickets, of the keys in %s", what, name.hex(),
             ", ".join(repr(os.fsdecode(path)) for path in made.paths))
    return 0


cdef int read_file(TicketKey *key, object path, bint hmac_first) except -1:
    with private_files.read(path, KEY_FILE) as content:
        if len(content) not in (48, 80):
            raise ValueError(f"{os.fsdecode(path)!r} is {len(content)} bytes long, but a ticket key has 48 or 80 "
                             "bytes: write binary data, not text, as `openssl rand 80` does")
        read_key(key, <const unsigned char *> PyByteArray_AS_STRING(content), len(content),
                 hmac_first or len(content) == 80)
    return 0


cdef int refuse_equal_names(const TicketKey *keys, tuple paths) except -1:
    cdef Py_ssize_t i
    known = {}
    for i in range(len(paths)):
        name = keys[i].name[:sizeof(keys[i].name)]
        if name in known:
            raise ValueError(f"{os.fsdecode(paths[i])!r} and {known[name]!r} hold keys of the same name: "
                             "the name is the first 16 bytes of a file, and each file needs a different one")
        known[name] = os.fsdecode(paths[i])
    return 0
