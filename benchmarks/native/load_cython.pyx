"""Clients that come back to a server over and over, in C and without the GIL."""

from libc.stdio cimport snprintf
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memset
from posix.time cimport timeval

cimport pysidctx
from pysidctx.libssl cimport (
    ERR_clear_error, SSL, SSL_CTX, SSL_free, SSL_get1_session, SSL_new, SSL_SESSION,
    SSL_SESSION_free, SSL_session_reused, SSL_set_options, SSL_set_session,
)

cdef extern from "timing.h" nogil:
    double seconds()

cdef extern from "<stdlib.h>" nogil:
    int rand_r(unsigned int *seed)

cdef extern from "openssl/ssl.h" nogil:
    int SSL_set_fd(SSL *ssl, int fd)
    int SSL_connect(SSL *ssl)
    int SSL_write(SSL *ssl, const void *buf, int num)
    int SSL_read(SSL *ssl, void *buf, int num)
    int SSL_shutdown(SSL *ssl)
    int SSL_set_tlsext_host_name(const SSL *s, const char *name)

cdef extern from "<arpa/inet.h>" nogil:
    struct in_addr:
        unsigned int s_addr
    struct sockaddr:
        pass
    struct sockaddr_in:
        unsigned short sin_family
        unsigned short sin_port
        in_addr sin_addr
    enum:
        AF_INET
        SOCK_STREAM
        SOL_SOCKET
        SO_RCVTIMEO
        SO_SNDTIMEO
        INADDR_LOOPBACK
    unsigned short htons(unsigned short number)
    unsigned int htonl(unsigned int number)
    int socket(int domain, int type, int protocol)
    int connect(int file, const sockaddr *address, unsigned int length)

cdef extern from "<netinet/tcp.h>" nogil:
    enum:
        IPPROTO_TCP
        TCP_NODELAY
    int setsockopt(int file, int level, int name, const void *value, unsigned int length)

cdef extern from "<unistd.h>" nogil:
    int close(int file)

cdef extern from *:
    """
    #ifndef SSL_OP_IGNORE_UNEXPECTED_EOF
    #define SSL_OP_IGNORE_UNEXPECTED_EOF 0 /* OpenSSL 1.1.1 always does so */
    #endif
    """
    enum:
        SSL_OP_IGNORE_UNEXPECTED_EOF

cdef const char *REQUEST = b"GET / HTTP/1.0\r\n\r\n"
cdef enum:
    REQUEST_LENGTH = 18


cdef class Client:
    """One thread's clients: a share of them comes back with the last session that was got."""

    cdef SSL_SESSION *session
    cdef int owed   # hundredths of a returning connection
    cdef int hosts  # of which one is drawn for each connection; 0: all go to the one that is named
    cdef unsigned int seed

    def __init__(self, int number, int clients, int hosts):
        self.owed = number * 100 // clients  # so that not all come back at once
        self.hosts = hosts
        self.seed = number

    def __dealloc__(self):
        SSL_SESSION_free(self.session)

    def visits(self, context, str name, unsigned short port, int count, int returning):
        """Connect so often, asking for a page each time.

        `returning`: percent of the connections that offer a session. Returns how many were offered, how
        many resumed, and the seconds that each connection took.
        """
        cdef SSL_CTX *ctx = pysidctx.SSL_CTX_from(context)
        cdef bytes encoded = name.encode()
        cdef const char *host = encoded
        cdef int resumed = 0, offered = 0, found = 0, i
        cdef bint offer
        cdef double *taken = <double *> calloc(count, sizeof(double))
        cdef double start
        cdef char drawn[64]
        if taken is NULL:
            raise MemoryError
        with nogil:
            for i in range(count):
                self.owed += returning
                offer = self.owed >= 100
                if offer:
                    self.owed -= 100
                if self.hosts:
                    snprintf(drawn, sizeof(drawn), b"host%d.example.org", rand_r(&self.seed) % self.hosts)
                    host = drawn
                start = seconds()
                found = visit(ctx, host, port, &self.session, offer)
                taken[i] = seconds() - start
                if found < 0:
                    break
                offered += offer
                resumed += found
        try:
            if found < 0:
                raise OSError("the server did not answer")
            return offered, resumed, [taken[i] for i in range(count)]
        finally:
            free(taken)


cdef int visit(SSL_CTX *ctx, const char *name, unsigned short port, SSL_SESSION **session,
               bint offer) noexcept nogil:
    """Whether it was resumed; -1 where it failed. Keeps the session if there is none, or it was renewed."""
    cdef sockaddr_in address
    cdef char answer[4096]
    cdef int result = -1
    cdef int on = 1
    cdef timeval patience
    cdef int file = socket(AF_INET, SOCK_STREAM, 0)
    cdef SSL *ssl = SSL_new(ctx)
    if ssl is NULL or file < 0:
        SSL_free(ssl)
        if file >= 0:
            close(file)
        ERR_clear_error()
        return -1
    # Servers leave without a close_notify, for which OpenSSL would give up the session; as it would for
    # a client without its own.
    SSL_set_options(ssl, SSL_OP_IGNORE_UNEXPECTED_EOF)
    memset(&address, 0, sizeof(address))
    address.sin_family = AF_INET
    address.sin_port = htons(port)
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK)
    # As browsers do: where the client speaks last in a handshake, its request would wait for the
    # server's acknowledgement.
    setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on))
    patience.tv_sec, patience.tv_usec = 30, 0
    setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience))
    setsockopt(file, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience))
    if (connect(file, <sockaddr *> &address, sizeof(address)) == 0 and SSL_set_fd(ssl, file)
            and SSL_set_tlsext_host_name(ssl, name)
            and (not offer or session[0] is NULL or SSL_set_session(ssl, session[0]))
            and SSL_connect(ssl) == 1
            and SSL_write(ssl, REQUEST, REQUEST_LENGTH) == REQUEST_LENGTH
            and SSL_read(ssl, answer, sizeof(answer)) > 12 and memcmp(answer + 9, b"200", 3) == 0):
        while SSL_read(ssl, answer, sizeof(answer)) > 0:
            pass
        result = SSL_session_reused(ssl)
        if offer or session[0] is NULL:
            SSL_SESSION_free(session[0])
            session[0] = SSL_get1_session(ssl)
        SSL_shutdown(ssl)
    SSL_free(ssl)
    close(file)
    ERR_clear_error()
    return result
