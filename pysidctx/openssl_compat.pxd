"""openssl_compat.h, declared for Cython: what OpenSSL's versions spell differently, or lack."""

from libc.time cimport time_t

from pysidctx.libssl cimport (
    EVP_CIPHER, EVP_CIPHER_CTX, EVP_MD, EVP_PKEY_CTX, SSL, SSL_CTX, SSL_SESSION, STACK_OF_X509_OBJECT, X509_STORE,
    X509_VERIFY_PARAM,
)

cdef extern from "openssl_compat.h" nogil:
    STACK_OF_X509_OBJECT *X509_STORE_get1_objects "pysidctx_X509_STORE_get1_objects" (
        X509_STORE *xs)
    int checks_host "pysidctx_checks_host" (X509_VERIFY_PARAM *param)
    const char *get0_host "pysidctx_get0_host" (X509_VERIFY_PARAM *param)
    char *get1_ip_asc "pysidctx_get1_ip_asc" (X509_VERIFY_PARAM *param)
    time_t SSL_SESSION_get_time "pysidctx_SSL_SESSION_get_time" (const SSL_SESSION *s)
    time_t SSL_SESSION_set_time "pysidctx_SSL_SESSION_set_time" (SSL_SESSION *s, time_t t)
    void SSL_set_psk_server_callback "pysidctx_SSL_set_psk_server_callback" (SSL *ssl, void *callback)
    EVP_MD *fetched_sha256 "pysidctx_fetched_sha256" ()
    EVP_CIPHER *fetched_aes128 "pysidctx_fetched_aes128" ()
    EVP_CIPHER *fetched_aes256 "pysidctx_fetched_aes256" ()
    EVP_CIPHER *fetched_aes256_gcm "pysidctx_fetched_aes256_gcm" ()
    int EVP_PKEY_CTX_set_hkdf_md "pysidctx_EVP_PKEY_CTX_set_hkdf_md" (EVP_PKEY_CTX *ctx, const EVP_MD *md)
    int EVP_PKEY_CTX_set1_hkdf_salt "pysidctx_EVP_PKEY_CTX_set1_hkdf_salt" (
        EVP_PKEY_CTX *ctx, const unsigned char *salt, int saltlen)
    int EVP_PKEY_CTX_set1_hkdf_key "pysidctx_EVP_PKEY_CTX_set1_hkdf_key" (
        EVP_PKEY_CTX *ctx, const unsigned char *key, int keylen)
    int EVP_PKEY_CTX_add1_hkdf_info "pysidctx_EVP_PKEY_CTX_add1_hkdf_info" (
        EVP_PKEY_CTX *ctx, const unsigned char *info, int infolen)

    ctypedef void TICKET_MAC "pysidctx_TICKET_MAC"
    ctypedef int (*ticket_key_fn)(SSL *s, unsigned char *key_name, unsigned char *iv,
                                  EVP_CIPHER_CTX *ctx, TICKET_MAC *mac, int enc) noexcept nogil
    int set_ticket_key_callback "pysidctx_set_ticket_key_callback" (SSL_CTX *ctx, ticket_key_fn cb)
    int ticket_mac_init "pysidctx_ticket_mac_init" (TICKET_MAC *mac, const unsigned char *key,
                                                    size_t length)
