"""Handshakes with OpenSSL on both sides and nothing else: the floor for what any server takes."""

cimport pysidctx
from pysidctx.libssl cimport (
    BIO, BIO_METHOD, BIO_free, BIO_new, ERR_clear_error, SSL, SSL_CTX, SSL_free, SSL_get1_session,
    SSL_new, SSL_SESSION, SSL_SESSION_free, SSL_session_reused, SSL_set_session,
    SSL_set_session_id_context,
)

cdef extern from "timing.h" nogil:
    double seconds()

cdef extern from "openssl/ssl.h" nogil:
    const BIO_METHOD *BIO_s_mem()
    int BIO_up_ref(BIO *a)
    void SSL_set_bio(SSL *ssl, BIO *rbio, BIO *wbio)
    int SSL_accept(SSL *ssl)
    int SSL_read(SSL *ssl, void *buf, int num)
    int SSL_shutdown(SSL *ssl)
    int SSL_set_tlsext_host_name(const SSL *s, const char *name)
    int SSL_SESS_CACHE_OFF
    long SSL_CTX_set_session_cache_mode(SSL_CTX *ctx, long mode)

cdef extern from *:
    """
    #if __has_include(<valgrind/callgrind.h>)
    #include <valgrind/callgrind.h>
    #else
    #define CALLGRIND_START_INSTRUMENTATION
    #define CALLGRIND_TOGGLE_COLLECT
    #define CALLGRIND_DUMP_STATS_AT(name) ((void) (name))
    #endif
    #include <openssl/ssl.h>

    static void start_counting(void) { CALLGRIND_START_INSTRUMENTATION; }
    static void toggle_collecting(void) { CALLGRIND_TOGGLE_COLLECT; }
    static void dump_counts(const char *name) { CALLGRIND_DUMP_STATS_AT(name); }

    /* Functions of their own, by which the server's instructions are told from the client's. */
    static __attribute__((noinline)) int server_step(SSL *ssl)
    {
        volatile int result = SSL_accept(ssl);

        return result;
    }

    static __attribute__((noinline)) int client_step(SSL *ssl)
    {
        volatile int result = SSL_connect(ssl);

        return result;
    }
    """
    int server_step(SSL *ssl) nogil
    int client_step(SSL *ssl) nogil
    void start_counting() nogil
    void toggle_collecting() nogil
    void dump_counts(const char *name) nogil


def count():
    """Have valgrind follow every instruction from here on."""
    start_counting()


def toggle():
    """Have valgrind add up instructions, or leave it again; the same number each time, as a clock stands still."""
    toggle_collecting()
    return 0


def dump(str name):
    """Have valgrind write what it has added up, under a name, and begin anew."""
    cdef bytes encoded = name.encode()
    dump_counts(encoded)


cdef class Floor:
    """Handshakes of a server's SSLContext with a client's, which keeps the session of its last full handshake."""

    cdef object contexts  # which own the next two
    cdef SSL_CTX *listener
    cdef SSL_CTX *client
    cdef SSL_SESSION *session
    cdef bint renewing  # keeps that of its last handshake instead, as clients of TLS 1.3 do

    def __init__(self, listener, client, bint renewing=False):
        self.contexts = listener, client
        self.renewing = renewing
        self.listener = pysidctx.SSL_CTX_from(listener)
        self.client = pysidctx.SSL_CTX_from(client)

    def __dealloc__(self):
        SSL_SESSION_free(self.session)

    def server_time(self, str name, bint resume):
        """The nanoseconds that the server took. A full handshake leaves the session to resume."""
        cdef bytes encoded = name.encode()
        cdef const char *host = encoded
        cdef double taken
        with nogil:
            taken = self.handshake(host, resume, False)
        if taken < 0:
            raise AssertionError("this was to be a resumed handshake" if resume else "no handshake")
        return taken * 1e9

    def collected(self, str name, bint resume):
        """A handshake of which valgrind adds up the server's steps, after count(), where it adds up nothing else."""
        cdef bytes encoded = name.encode()
        if self.handshake(encoded, resume, True) < 0:
            raise AssertionError("this was to be a resumed handshake" if resume else "no handshake")

    def store_nothing(self):
        """Have the server make no sessions that are resumed by their id. See SSL_CTX_set_session_cache_mode(3)."""
        SSL_CTX_set_session_cache_mode(self.listener, SSL_SESS_CACHE_OFF)

    def counted(self, list names, bint resume=True):
        """A handshake with each name, resumed or full, whose instructions valgrind counts, after count()."""
        cdef double taken = 0
        cdef bytes encoded
        for name in names:
            encoded = name.encode()
            taken = min(taken, self.handshake(encoded, resume, False))
        if taken < 0:
            raise AssertionError("these were to be resumed handshakes" if resume else "no handshake")

    cdef double handshake(self, const char *name, bint resume, bint collect) noexcept nogil:
        cdef SSL *server = SSL_new(self.listener)
        cdef SSL *client = SSL_new(self.client)
        cdef BIO *to_server = BIO_new(BIO_s_mem())
        cdef BIO *to_client = BIO_new(BIO_s_mem())
        cdef char nothing
        cdef double taken = 0, start
        cdef int done = 0
        if server is NULL or client is NULL or to_server is NULL or to_client is NULL:
            SSL_free(client)
            SSL_free(server)
            BIO_free(to_server)
            BIO_free(to_client)
            ERR_clear_error()
            return -1
        # Each side is given a reference to both.
        BIO_up_ref(to_server)
        BIO_up_ref(to_client)
        SSL_set_bio(server, to_server, to_client)
        SSL_set_bio(client, to_client, to_server)
        if (SSL_set_session_id_context(server, b"Python", 7)  # as CPython does
                and SSL_set_tlsext_host_name(client, name)
                and (not resume or SSL_set_session(client, self.session))):
            for _ in range(2):
                client_step(client)
                start = seconds()
                if collect:
                    toggle_collecting()
                done = server_step(server)
                if collect:
                    toggle_collecting()
                taken += seconds() - start
        if done != 1 or client_step(client) != 1 or (resume and not SSL_session_reused(server)):
            taken = -1
        elif not resume or self.renewing:
            SSL_read(client, &nothing, 1)  # the tickets of TLS 1.3
            SSL_SESSION_free(self.session)
            self.session = SSL_get1_session(client)
        SSL_shutdown(client)
        SSL_shutdown(server)
        SSL_free(client)
        SSL_free(server)
        ERR_clear_error()
        return taken
