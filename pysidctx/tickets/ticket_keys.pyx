"""TicketKeys: the keys of session tickets, the same for all workers of a server."""

cimport cython

import os

from pysidctx import environment, private_files
from pysidctx.tickets.stats import TicketStats

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free

from pysidctx.binding cimport bind_openssl
from pysidctx.errors cimport check
from pysidctx.handles cimport SSL_CTX_from, server_context
from pysidctx.handshake.inert cimport warn_without_tickets
from pysidctx.libssl cimport OPENSSL_cleanse, RAND_bytes, SSL_CTX
from pysidctx.tickets.callbacks cimport stop_using, use_keyring
from pysidctx.tickets.keyring cimport (
    ACCEPTED, EXPIRED, INVALID, ISSUED, Keyring, RENEWED, TicketKey, UNKNOWN_KEY,
    derive_from, new_keyring, read_key, release_keyring, set_keys, tickets_counted,
)
from pysidctx.wrapped cimport unwrapped

bind_openssl()


cdef enum:
    MIN_SECRET = 32
    MAX_SECRET = 1024
    MAX_LIFETIME = 7 * 24 * 3600  # RFC 8446, section 4.6.1
    MAX_PERIODS = 1000            # as many keys are kept

PERIOD = 3600
LIFETIME = 24 * 3600

KEY_FILE = private_files.Content("a ticket key", ValueError, 4096, "", group_of_root=True)
SECRET_FILE = private_files.Content("a secret", ValueError, MAX_SECRET, "", group_of_root=True,
                                    source=", as `python -m pysidctx secret PATH` writes it")

# TicketKeys that get their keys later are made with it, and it is known here alone.
cdef object made_here = object()


# No path: that of the environment variable. Not None, which may come from another variable that is not set.
class _OfEnvironment:

    def __repr__(self):
        return "$PYSIDCTX_SECRET_FILE"


cdef object of_environment = _OfEnvironment()


@cython.final
cdef class TicketKeys:
    """The keys that encrypt session tickets. Processes that have the same keys resume each other's sessions.

    `TicketKeys()` are random: for one process, and for the workers that it forks afterwards.
    `TicketKeys.from_secret()` gives the same keys to all who know a secret; `from_secret_file()` reads
    it from a file; `from_files()` reads keys as nginx and Apache httpd have them.

    All but those from files rotate by themselves: each `period` has a key of its own, derived by
    HKDF-SHA256 (RFC 5869) from the secret and the number of the period, so that all agree at every
    moment without talking to each other. Tickets with the keys of earlier periods are accepted, and
    renewed, until they are older than `lifetime`; those with the key of the next period are accepted,
    too, for servers whose clocks differ.

    A ticket carries the time of its full handshake. When `lifetime` has passed since then, the next
    handshake is a full one, however often the client has renewed its ticket: in TLS 1.3 each
    resumption gives it a fresh one. So it is from the moment on that the client's certificate ends, or
    another one of the chain that it was verified by (`notAfter`), or the revocation list of one that
    is looked up in it (`nextUpdate`). Sessions that OpenSSL keeps for clients without tickets end then,
    too.

    period
        int, in seconds: how long a key encrypts.
    lifetime
        int, in seconds, at most 604,800 (7 days; RFC 8446, section 4.6.1), and at most 1,000 periods.

    Raises TypeError for what is no int, ValueError for one that is out of range, and `pysidctx.Error`
    where there are no random numbers. Any thread may use a TicketKeys at any time. Handshakes use the
    keys in C, without the GIL; they are wiped when nobody needs them any more, and never shown.

    Anyone who has the keys, or the secret, can take part in connections that are resumed with their
    tickets; and in TLS 1.2, whose resumption exchanges no new keys, read recorded ones, with that in
    which the ticket was issued. Keep them as you keep the server's private key.
    """

    cdef Keyring *ring
    cdef object paths        # of from_files(); else None
    cdef object secret_path  # of from_secret_file(), absolute; else None
    cdef readonly object _made_in  # random ones: the id of the process; else None
    cdef bint hmac_first
    cdef object __weakref__

    def __cinit__(self, token=None, *, period=PERIOD, lifetime=LIFETIME):
        cdef unsigned char secret[MIN_SECRET]
        if token is made_here:
            return
        if token is not None:
            raise TypeError("TicketKeys() takes period and lifetime by name: those from a secret are made "
                            "by from_secret()")
        check(RAND_bytes(secret, MIN_SECRET), b"RAND_bytes()")
        try:
            derive_keys(self, secret, MIN_SECRET, period, lifetime)
            self._made_in = os.getpid()
        finally:
            OPENSSL_cleanse(secret, MIN_SECRET)

    def __dealloc__(self):
        if self.ring is not NULL:
            release_keyring(self.ring)

    @staticmethod
    def from_secret(secret, *, period=PERIOD, lifetime=LIFETIME):
        """Return the TicketKeys that all get who give the same secret and the same period.

        secret
            A bytes-like object of 32 to 1,024 bytes, that nobody can guess, such as
            `secrets.token_bytes(32)`; not a password. Applications that must not resume each other's
            sessions may share it if their id contexts differ.
        period, lifetime
            As for `TicketKeys()`.

        The key of period number n (the time of the Unix epoch in seconds, divided by `period`, rounded
        down) is HKDF-SHA256 with the salt `pysidctx ticket keys 1` and as info n in 8 bytes,
        big-endian: 16 bytes of name, 32 for HMAC-SHA256, 32 for AES-256-CBC.

        Raises TypeError for a secret that is not bytes-like (a `str` has to be encoded) or not
        contiguous, ValueError for one that is too short or too long, and what `TicketKeys()` raises.
        The secret is copied; the copy is wiped with the TicketKeys, your own is yours to wipe. Safe in any
        thread.
        """
        cdef TicketKeys made = TicketKeys.__new__(TicketKeys, made_here)
        cdef Py_buffer view
        try:
            PyObject_GetBuffer(secret, &view, PyBUF_SIMPLE)
        except (BufferError, TypeError):
            raise TypeError("a secret is contiguous bytes-like data, not "
                            f"{type(secret).__name__}") from None
        try:
            check_secret(view.len, "the secret")
            derive_keys(made, <const unsigned char *> view.buf, view.len, period, lifetime)
        finally:
            PyBuffer_Release(&view)
        return made

    @staticmethod
    def from_secret_file(path=of_environment, *, period=PERIOD, lifetime=LIFETIME):
        """Return `TicketKeys.from_secret()` of what is in a file, as `python -m pysidctx secret` writes.

        path
            The file: its bytes as they are, 32 to 1,024. It has to belong to the user of this process
            and nobody else may have access (mode 0600 or less), or to root, which may let a group read
            it (0640). Without `path` it is the file that the environment variable
            PYSIDCTX_SECRET_FILE names.

        These TicketKeys can be pickled: the path is, and the file is read again.

        Raises OSError where it cannot be read, ValueError where it is not such a file, where others have
        access, and where the environment variable is not set or empty; TypeError for what is no path,
        and what `from_secret()` raises. Messages name the file, never what is in it. Safe in any thread.
        """
        cdef TicketKeys made
        named = path is of_environment
        if named:
            path = environment.needed(environment.SECRET_FILE)
        elif not os.fspath(path):
            raise ValueError("the path of a secret file is empty: name a file, as `python -m pysidctx secret PATH` "
                             "writes it")
        try:
            made = read_secret(path, period, lifetime)
        except OSError as error:
            error.strerror = f"{error.strerror}: no secret was read{SECRET_FILE.source}{named_by(named)}"
            raise
        except ValueError as error:
            raise ValueError(f"{error}{named_by(named)}") from None
        made.secret_path = os.path.abspath(path)
        return made

    @staticmethod
    def from_files(paths, *, lifetime=LIFETIME, layout="nginx"):
        """Return TicketKeys that are read from files, one key in each.

        paths
            Paths; the first one's key encrypts, all of them decrypt. To rotate, put a new file in
            front and drop the last one, in the same paths, and call `reload()`. Files have 48 bytes (a
            name of 16, then 16 for AES-128-CBC and 16 for HMAC-SHA256) or 80 (a name of 16, then 32
            for HMAC-SHA256 and 32 for AES-256-CBC), as nginx's `ssl_session_ticket_key`. HAProxy keeps
            the same in base64, one key a line: decode each line into a file of its own. The files'
            owner and mode have to be as for `from_secret_file()`.
        lifetime
            As for `TicketKeys()`.
        layout
            "nginx", or "apache": Apache httpd's `SSLSessionTicketKeyFile` has the two halves of 48
            bytes in the other order, first that for HMAC.

        Keys from files stay until `reload()` is called. Tickets of other programs, which do not carry
        the time of the full handshake, are not accepted: their clients get a full handshake.

        Raises TypeError for one path instead of several; ValueError for none, for two files with keys
        of one name, for a file of another size and for one that others have access to; OSError for
        one that cannot be read. Messages name the file, never what is in it. Safe in any thread.
        """
        cdef TicketKeys made = TicketKeys.__new__(TicketKeys, made_here)
        if isinstance(paths, (str, bytes, os.PathLike)):
            raise TypeError("from_files() takes several paths, the first of which encrypts: give it a "
                            "list")
        if layout not in ("nginx", "apache"):
            raise ValueError(f'layout is "nginx" or "apache", not {layout!r}')
        made.paths = tuple(paths)
        made.hmac_first = layout == "apache"
        if not made.paths:
            raise ValueError("from_files() needs at least one file with a key")
        made.ring = new_keyring(seconds_of("lifetime", lifetime, MAX_LIFETIME))
        made.reload()
        return made

    def reload(self):
        """Read the files of `from_files()` again: tickets from here on are made with the first one's key.

        Each worker has to do so. Those whose files come first should have the new key among those
        that decrypt before others encrypt with it.

        Raises what `from_files()` raises, and then nothing is changed; ValueError for keys that are
        not from files. Safe in any thread, with handshakes going on in others.
        """
        if self.paths is None:
            raise ValueError("these keys are not from files: they rotate by themselves")
        cdef size_t length = len(self.paths)
        cdef TicketKey *keys = <TicketKey *> calloc(length, sizeof(TicketKey))
        cdef size_t i
        if keys is NULL:
            raise MemoryError("no memory to read ticket keys into")
        try:
            for i in range(length):
                read_file(&keys[i], self.paths[i], self.hmac_first)
            refuse_equal_names(keys, self.paths)
            set_keys(self.ring, keys, length)
        finally:
            OPENSSL_cleanse(keys, length * sizeof(TicketKey))
            free(keys)

    def install(self, ctx):
        """Have the connections that `ctx` creates issue and take tickets with these keys.

        ctx
            An `ssl.SSLContext` of PROTOCOL_TLS_SERVER, that a server makes its connections with. Keys
            that were installed on it before are replaced. One TicketKeys may be installed on any number
            of contexts. Its session timeout (`SSL_CTX_set_timeout()`) becomes `lifetime`.

        Takes effect for tickets that are issued or read after the call. A connection keeps the keys of the
        context that it was created with, whatever a `HostMap` switches it to.
        A session is resumed if its id context is the connection's, too: see
        `set_session_id_context()`, and `resumable()`, which does both.

        Where `sni_callback`, or setting the `context` of a connection, switches to another context after
        the id context was chosen, sessions would get past what that one demands of clients. The first
        such switch of a connection that makes or shows a ticket is a RuntimeWarning, and sessions of
        the former context are not resumed from then on, in this process. Until then one may have got
        past; and in TLS 1.2, where OpenSSL tells `sni_callback` the name of the session and not that
        which the client asks for, a session of another name is resumed without any switch. Use a
        `HostMap` instead.

        Raises TypeError for anything that is not an `ssl.SSLContext`; ValueError for a context of
        clients or of one version of TLS; `pysidctx.Error` where OpenSSL fails. Then nothing is changed.
        A RuntimeWarning says where the keys are without effect, because the context issues no tickets: its
        options have OP_NO_TICKET, or its `num_tickets` is 0. With a `HostMap` installed, the contexts
        that serve its clients are checked instead.

        Safe in any thread, with handshakes going on in others. It takes the context's callbacks for
        tickets: see SSL_CTX_set_tlsext_ticket_key_evp_cb(3) and SSL_CTX_set_session_ticket_cb(3).
        """
        used = unwrapped(ctx)
        cdef SSL_CTX *target = server_context(used, "ticket keys are installed on")
        warn_without_tickets(used)
        with cython.critical_section(used):
            use_keyring(target, self.ring)

    def uninstall(self, ctx):
        """Have the connections that `ctx` creates use OpenSSL's own keys again.

        Takes effect for tickets that are issued or read after the call: those made with these keys are no
        longer accepted. The session timeout becomes what it was before `install()`.

        Raises TypeError for anything that is not an `ssl.SSLContext`, ValueError where these keys are
        not installed, MemoryError. Safe in any thread, while other threads do handshakes. See
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
        """Return a `TicketStats`: what became of tickets so far, in this process, on all contexts.

        Safe in any thread.
        """
        return TicketStats(*[tickets_counted(self.ring, counter) for counter in (
            ISSUED, ACCEPTED, RENEWED, UNKNOWN_KEY, EXPIRED, INVALID)])

    @property
    def lifetime(self):
        """int, in seconds."""
        return self.ring.lifetime

    @property
    def period(self):
        """int, in seconds; None for keys from files."""
        return self.ring.period or None

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
        raise TypeError("TicketKeys that are not from files cannot be pickled or copied: give other processes the "
                        "secret by a file that only they can read, and use TicketKeys.from_secret_file()")


def _from_secret_file(path, period, lifetime):
    """For pickle."""
    return TicketKeys.from_secret_file(path, period=period, lifetime=lifetime)


def _from_files(paths, lifetime, layout):
    """For pickle."""
    return TicketKeys.from_files(paths, lifetime=lifetime, layout=layout)


cdef TicketKeys read_secret(object path, object period, object lifetime):
    with private_files.read(path, SECRET_FILE) as content:
        check_secret(len(content), repr(os.fsdecode(path)))
        return TicketKeys.from_secret(content, period=period, lifetime=lifetime)


cdef str named_by(bint environment_does):
    return f"; the environment variable {environment.SECRET_FILE} names it" if environment_does else ""


cdef int derive_keys(TicketKeys made, const unsigned char *secret, Py_ssize_t length, object period,
                     object lifetime) except -1:
    cdef uint64_t longest = seconds_of("lifetime", lifetime, MAX_LIFETIME)
    cdef uint64_t each = seconds_of("period", period, MAX_LIFETIME)
    if longest > MAX_PERIODS * each:
        raise ValueError(f"a lifetime of {lifetime} s is more than {MAX_PERIODS} periods of {period} "
                         "s: choose a longer period")
    made.ring = new_keyring(longest)
    return derive_from(made.ring, secret, length, each)


cdef uint64_t seconds_of(str name, object seconds, uint64_t most) except 0:
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        raise TypeError(f"{name} is an int of seconds, not {type(seconds).__name__}")
    if not 1 <= seconds <= most:
        raise ValueError(f"{name} is 1 to {most} seconds, not {seconds}")
    return seconds


cdef int check_secret(Py_ssize_t length, str what) except -1:
    if not MIN_SECRET <= length <= MAX_SECRET:
        raise ValueError(f"{what} is {length} bytes long, {MIN_SECRET} to {MAX_SECRET} are needed: "
                         "`python -m pysidctx secret PATH` writes a new one")
    return 0


cdef int read_file(TicketKey *key, object path, bint hmac_first) except -1:
    with private_files.read(path, KEY_FILE) as content:
        if len(content) not in (48, 80):
            raise ValueError(f"{os.fsdecode(path)!r} is {len(content)} bytes long: a ticket key has 48 "
                             "or 80, not as text but as they are (`openssl rand 80`)")
        read_key(key, <const unsigned char *> PyByteArray_AS_STRING(content), len(content),
                 hmac_first or len(content) == 80)
    return 0


cdef int refuse_equal_names(const TicketKey *keys, tuple paths) except -1:
    cdef Py_ssize_t i
    known = {}
    for i in range(len(paths)):
        name = keys[i].name[:sizeof(keys[i].name)]
        if name in known:
            raise ValueError(f"{os.fsdecode(paths[i])!r} and {known[name]!r} have keys of the same name: "
                             "give each key a name of its own, its first 16 bytes")
        known[name] = os.fsdecode(paths[i])
    return 0
