"""Client sessions in a file: written for other processes, and read with the tickets taken out of it."""

cimport cython

import os
import warnings

from pysidctx import private_files
from pysidctx.clients import session_file

from cpython.buffer cimport PyBUF_READ
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

from pysidctx.binding cimport bind_openssl
from pysidctx.clients.callbacks cimport own_end_of
from pysidctx.clients.session_store cimport (
    LOADED, TRUST_LENGTH, Copied, HostKey, SessionStore, Terms, copy_sessions, free_copied, put_session,
)
from pysidctx.libssl cimport (
    BIO, BIO_free, SSL_SESSION, SSL_SESSION_free, SSL_SESSION_get_protocol_version, SSL_SESSION_is_resumable,
    TLS1_3_VERSION,
)
from pysidctx.sessions.encoding cimport session_from_pem, session_to_pem, text_of
from pysidctx.sessions.peer cimport note_checked
from pysidctx.tickets.expiry cimport unix_time

bind_openssl()


@cython.final
cdef class Reading:
    """The sessions in a file that is being read: checked first, then stored."""

    cdef SessionStore *store
    cdef bytearray data
    cdef list found        # of each session to load: its label, where its part begins and ends, whether it is taken
    cdef bint has_taken
    cdef int unmatched

    cdef int read(self, set trusts) except -1:
        self.found = []
        for label, begin, end in session_file.parts(self.data):
            taken = self.decoded(begin, end, None) and self.store.single_use
            if trusts is not None and label.trust not in trusts:
                self.unmatched += 1
                continue
            self.found.append((label, begin, end, taken))
            self.has_taken |= taken
        return 0

    cdef bint decoded(self, Py_ssize_t begin, Py_ssize_t end, object label) except -1:
        """Decode a session, and store it if `label` is not None. Returns whether it is one of TLS 1.3."""
        cdef const unsigned char *text = <const unsigned char *> <char *> self.data
        cdef SSL_SESSION *session = session_from_pem(text + begin, end - begin)
        cdef bint tls13 = SSL_SESSION_get_protocol_version(session) == TLS1_3_VERSION
        cdef HostKey key
        cdef uint64_t until
        if label is None or not SSL_SESSION_is_resumable(session):
            SSL_SESSION_free(session)
            return tls13
        try:
            key_from(label, &key)
            note_checked(session, key.terms.checks_name != 0)
            until = min(<uint64_t> label.until, own_end_of(session))
        except BaseException:
            SSL_SESSION_free(session)
            raise
        if until > unix_time():
            put_session(self.store, &key, session, until, label.port, tls13 and self.store.single_use)
        else:
            SSL_SESSION_free(session)
        return tls13

    cdef int store_all(self) except -1:
        for label, begin, end, _ in self.found:
            self.decoded(begin, end, label)
        return 0

    cdef int put_back(self, object claim) except -1:
        """Write what is not taken out of a file that was claimed."""
        taken = {(begin, end) for _, begin, end, is_taken in self.found if is_taken}
        with private_files.wiped_buffer() as buffer:
            for _, begin, end in session_file.parts(self.data):
                if (begin, end) not in taken:
                    with memoryview(self.data) as view:
                        buffer.append(view[begin:end])
            if len(buffer.view()):
                claim.put_back(buffer.view())
        return 0


cdef int save_sessions(SessionStore *store, object path) except -1:
    """Do what ClientSessions.save() says."""
    cdef size_t count = 0, i
    cdef object former = private_files.identity(path)
    cdef Copied *copied = copy_sessions(store, &count, store.single_use)
    if copied is NULL:
        raise MemoryError("out of memory while saving sessions")
    try:
        unlisted = write_sessions(copied, count, path)
    except BaseException:
        # An exception of a signal's handler may come after the file was replaced.
        if private_files.identity(path) == former:
            for i in range(count):
                put_back_taken(store, &copied[i])
        raise
    finally:
        free_copied(copied, count)
    if unlisted:
        warnings.warn(
            f"{counted(unlisted)} not saved, because OpenSSL loads the CAs of their SSLContexts on demand, from a "
            "directory (capath) or the system's defaults, so that they cannot be listed: load them with cafile or "
            "cadata, as in ssl.create_default_context(cafile=certifi.where())", RuntimeWarning)
    return 0


cdef str counted(int number):
    return "1 session was" if number == 1 else f"{number} sessions were"


cdef int put_back_taken(SessionStore *store, Copied *copied) noexcept:
    if (store.single_use and SSL_SESSION_get_protocol_version(copied.session) == TLS1_3_VERSION
            and not copied.key.terms.unlisted):
        put_session(store, &copied.key, copied.session, copied.until, copied.port, True)
        copied.session = NULL
    return 0


cdef int write_sessions(Copied *copied, size_t count, object path) except -1:
    """Write a file. Returns the number of sessions that cannot be saved."""
    cdef size_t i
    cdef int unlisted = 0
    cdef BIO *bio
    cdef const unsigned char *text
    cdef Py_ssize_t length
    with private_files.wiped_buffer() as buffer:
        for i in range(count):
            if copied[i].key.terms.unlisted:
                unlisted += 1
                continue
            buffer.append(label_from(&copied[i]).line())
            bio = session_to_pem(copied[i].session)
            try:
                length = text_of(bio, &text)
                buffer.append(PyMemoryView_FromMemory(<char *> text, length, PyBUF_READ))
            finally:
                BIO_free(bio)
        private_files.write(path, buffer.view())
    return unlisted


cdef object label_from(Copied *copied):
    cdef Terms *terms = &copied.key.terms
    return session_file.Label(
        (<bytes> copied.key.name[:copied.key.length]).decode("ascii", "backslashreplace"), bool(copied.key.is_address),
        copied.port, copied.until, terms.trust[:TRUST_LENGTH], terms.id_context[:terms.id_context_length],
        {"flags": terms.flags, "verify_mode": terms.verify_mode, "depth": terms.depth, "auth_level": terms.auth_level,
         "security_level": terms.security_level, "host_flags": terms.host_flags, "checks_name": terms.checks_name})


cdef int key_from(object label, HostKey *key) except -1:
    """Read a label, which was checked, into the key of a session for any context."""
    cdef bytes host = label.host.encode()
    cdef bytes trust = label.trust
    cdef bytes id_context = label.id_context
    cdef dict numbers = label.terms
    memset(key, 0, sizeof(HostKey))
    key.is_address = label.is_address
    key.length = <unsigned int> len(host)
    memcpy(key.name, <const char *> host, len(host))
    key.terms.owner = LOADED
    memcpy(key.terms.trust, <const unsigned char *> trust, TRUST_LENGTH)
    key.terms.id_context_length = <unsigned int> len(id_context)
    memcpy(key.terms.id_context, <const unsigned char *> id_context, len(id_context))
    key.terms.flags = numbers["flags"]
    key.terms.verify_mode = numbers["verify_mode"]
    key.terms.depth = numbers["depth"]
    key.terms.auth_level = numbers["auth_level"]
    key.terms.security_level = numbers["security_level"]
    key.terms.host_flags = numbers["host_flags"]
    key.terms.checks_name = numbers["checks_name"]
    return 0


cdef int load_sessions(SessionStore *store, object path, set trusts) except -1:
    """Do what ClientSessions.load() says. `trusts` has the trust of the contexts that are installed; None: any."""
    cdef Reading read
    with private_files.read(path, session_file.CONTENT) as data:
        read = reading_of(store, data, trusts)
        if not read.has_taken:
            read.store_all()
    if read.has_taken:
        try:
            with session_file.claimed(path) as claim, private_files.read(claim.taken, session_file.CONTENT) as data:
                read = reading_of(store, data, trusts)
                # Whatever exception comes from here on, a ticket is lost rather than used twice.
                claim.used = True
                read.put_back(claim)
                read.store_all()
        except FileNotFoundError:
            return 0  # another process has taken them
    if read.unmatched:
        warnings.warn(
            f"{counted(read.unmatched)} not loaded from {os.fsdecode(path)!r}, because this ClientSessions is "
            "installed on no SSLContext with the trust and the certificate that they were made with: install() it on "
            "the same contexts as in the process that saved them, before load()", RuntimeWarning)
    return 0


cdef Reading reading_of(SessionStore *store, bytearray data, set trusts):
    """Decode what a file contains, and store nothing yet. Raises SessionError."""
    cdef Reading made = Reading.__new__(Reading)
    made.store = store
    made.data = data
    made.read(trusts)
    return made
