from pysidctx.libssl cimport CRYPTO_EX_DATA, CRYPTO_EX_dup, CRYPTO_EX_free, CRYPTO_EX_new, SSL_CTX, SSL_METHOD

cdef extern from "openssl_api.h" nogil:
    enum:
        OPENSSL_VERSION
    # What is called before a table is believed; openssl_functions.h has the rest.
    ctypedef struct openssl_api "pysidctx_openssl_api":
        unsigned long (*OpenSSL_version_num)() noexcept
        const char *(*OpenSSL_version)(int type) noexcept
        int (*ERR_set_mark)() noexcept
        int (*ERR_pop_to_mark)() noexcept
        int (*CRYPTO_get_ex_new_index)(int class_index, long argl, void *argp, CRYPTO_EX_new *new_func,
                                       CRYPTO_EX_dup *dup_func, CRYPTO_EX_free *free_func) noexcept
        int (*CRYPTO_free_ex_index)(int class_index, int idx) noexcept
        const SSL_METHOD *(*SSL_CTX_get_ssl_method)(const SSL_CTX *ctx) noexcept
        const SSL_METHOD *(*TLS_server_method)() noexcept
    openssl_api openssl

# What an ex_data callback saw being made, by this thread alone.
cdef struct Witness:
    unsigned long thread
    void *made

cdef void see(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl, void *argp) noexcept nogil
cdef int fill(openssl_api *table) except -1

cdef inline int bind_openssl() except -1:
    """Make the OpenSSL functions of the module that calls it those of the interpreter's libssl.

    The first statement of each module that calls OpenSSL. LibraryMismatchError.
    """
    return fill(&openssl)
