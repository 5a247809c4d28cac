"""Loops without the GIL over what a HostMap does; they return the seconds they took."""

from libc.stdint cimport uint64_t
from libc.string cimport memcpy

cimport pysidctx
from pysidctx.hosts.table cimport (
    HOSTS_MATCHED, host_table, table_count, table_match,
)
from pysidctx.hosts.entries cimport Hosts
from pysidctx.libssl cimport (
    BIO, BIO_METHOD, BIO_new, BIO_new_mem_buf, ERR_clear_error, SSL, SSL_CTX,
    SSL_CTX_set_tlsext_servername_callback, SSL_free, SSL_new, SSL_set_ex_data, SSL_set_SSL_CTX,
    SSL_TLSEXT_ERR_OK,
)

from pysidctx.lockfree.readers cimport atomic_size_t, gate_enter, gate_init, gate_leave, reader_gate
from pysidctx.handshake.siphash cimport siphash, siphash_value

cdef extern from "timing.h" nogil:
    double seconds()

cdef extern from "openssl/ssl.h" nogil:
    const BIO_METHOD *BIO_s_null()
    void SSL_set_bio(SSL *ssl, BIO *rbio, BIO *wbio)
    int SSL_accept(SSL *ssl)

cdef enum:
    DIGITS = 7
    NAME_MAX = 64
    HELLO_MAX = 2048

# As in HostMap: one for all maps.
cdef reader_gate gate
gate_init(&gate)


def name(Py_ssize_t number):
    """The host name with a number: all are of one length."""
    return f"host{number:0{DIGITS}d}.example.org"


cdef int acknowledge(SSL *ssl, int *alert, void *arg) noexcept nogil:
    return SSL_TLSEXT_ERR_OK


def set_servername_callback(context):
    """One in C, that does nothing: OpenSSL looks longer at the certificates where there is none."""
    SSL_CTX_set_tlsext_servername_callback(pysidctx.SSL_CTX_from(context), acknowledge)


cdef uint64_t drawn(uint64_t *state) noexcept nogil:
    """Xorshift, by Marsaglia."""
    state[0] ^= state[0] << 13
    state[0] ^= state[0] >> 7
    state[0] ^= state[0] << 17
    return state[0]


cdef void write_number(unsigned char *at, uint64_t number) noexcept nogil:
    cdef int i
    for i in range(DIGITS - 1, -1, -1):
        at[i] = <unsigned char> (c'0' + number % 10)
        number //= 10


def lookups(host_map, Py_ssize_t names, Py_ssize_t loops, uint64_t seed):
    """Look up names at random, as the ClientHello callback does."""
    cdef Hosts hosts = host_map._hosts
    cdef host_table *table = hosts.table
    cdef bytes first = name(0).encode()
    cdef size_t length = len(first)
    cdef unsigned char text[NAME_MAX]
    cdef siphash_value hash
    cdef uint64_t state
    cdef atomic_size_t *inside
    cdef Py_ssize_t _i, missed = 0
    cdef double start
    memcpy(text, <const unsigned char *> first, length)
    with nogil:
        start = seconds()
        for _i in range(loops):
            write_number(text + 4, drawn(&seed) % names)
            inside = gate_enter(&gate)
            hash = siphash(&table.key, text, length)
            missed += table_match(table, &hash, text, length, &state) is NULL
            table_count(table, HOSTS_MATCHED)
            gate_leave(inside)
        start = seconds() - start
    if missed:
        raise AssertionError(f"{missed} names were not found")
    return start


def hellos(context, bytes client_hello, Py_ssize_t names, Py_ssize_t loops, uint64_t seed):
    """Have an SSL_CTX read ClientHellos, for names at random, that it refuses right after its callback."""
    cdef SSL_CTX *ctx = pysidctx.SSL_CTX_from(context)
    cdef unsigned char sent[HELLO_MAX]
    cdef int length = <int> len(client_hello)
    cdef Py_ssize_t _i, at = client_hello.index(name(0).encode()) + 4
    cdef double start
    cdef SSL *ssl
    memcpy(sent, <const unsigned char *> client_hello, length)
    with nogil:
        start = seconds()
        for _i in range(loops):
            write_number(sent + at, drawn(&seed) % names)
            ssl = SSL_new(ctx)
            SSL_set_ex_data(ssl, 0, ctx)  # CPython, too, keeps something there
            SSL_set_bio(ssl, BIO_new_mem_buf(sent, length), BIO_new(BIO_s_null()))
            SSL_accept(ssl)
            SSL_free(ssl)
            ERR_clear_error()
        start = seconds() - start
    return start


def connections(context, switched_to, Py_ssize_t loops):
    """Make and free connections, with OpenSSL's own switch of context, or without (None)."""
    cdef SSL_CTX *ctx = pysidctx.SSL_CTX_from(context)
    cdef SSL_CTX *other = NULL if switched_to is None else pysidctx.SSL_CTX_from(switched_to)
    cdef double start = seconds()
    cdef Py_ssize_t _i
    cdef SSL *ssl
    with nogil:
        for _i in range(loops):
            ssl = SSL_new(ctx)
            if other is not NULL:
                SSL_set_SSL_CTX(ssl, other)
            SSL_free(ssl)
    return seconds() - start
