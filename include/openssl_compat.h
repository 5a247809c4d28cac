/* The few places where the OpenSSL versions differ that pysidctx builds on, told apart when they are called. */
#ifndef PYSIDCTX_OPENSSL_COMPAT_H
#define PYSIDCTX_OPENSSL_COMPAT_H

#include <time.h>

#include "openssl_api.h"

/* Algorithms of OpenSSL 3 are fetched, which takes longer than a short message's digest.  What these
 * return is kept for as long as the process lives. */
static inline EVP_MD *pysidctx_fetched_sha256(void)
{
    return openssl.EVP_MD_fetch != NULL ? openssl.EVP_MD_fetch(NULL, "SHA256", NULL) : (EVP_MD *)openssl.EVP_sha256();
}

static inline EVP_CIPHER *pysidctx_fetched_aes128(void)
{
    return openssl.EVP_CIPHER_fetch != NULL ? openssl.EVP_CIPHER_fetch(NULL, "AES-128-CBC", NULL)
                                            : (EVP_CIPHER *)openssl.EVP_aes_128_cbc();
}

static inline EVP_CIPHER *pysidctx_fetched_aes256(void)
{
    return openssl.EVP_CIPHER_fetch != NULL ? openssl.EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL)
                                            : (EVP_CIPHER *)openssl.EVP_aes_256_cbc();
}

static inline EVP_CIPHER *pysidctx_fetched_aes256_gcm(void)
{
    return openssl.EVP_CIPHER_fetch != NULL ? openssl.EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL)
                                            : (EVP_CIPHER *)openssl.EVP_aes_256_gcm();
}

/* HKDF's parameters were set by controls before they had functions.  -1: whatever key and operation the context is of. */
static inline int pysidctx_EVP_PKEY_CTX_set_hkdf_md(EVP_PKEY_CTX *ctx, const EVP_MD *md)
{
    return openssl.EVP_PKEY_CTX_set_hkdf_md != NULL
        ? openssl.EVP_PKEY_CTX_set_hkdf_md(ctx, md)
        : openssl.EVP_PKEY_CTX_ctrl(ctx, -1, -1, EVP_PKEY_CTRL_HKDF_MD, 0, (void *)md);
}

static inline int pysidctx_EVP_PKEY_CTX_set1_hkdf_salt(EVP_PKEY_CTX *ctx, const unsigned char *salt, int length)
{
    return openssl.EVP_PKEY_CTX_set1_hkdf_salt != NULL
        ? openssl.EVP_PKEY_CTX_set1_hkdf_salt(ctx, salt, length)
        : openssl.EVP_PKEY_CTX_ctrl(ctx, -1, -1, EVP_PKEY_CTRL_HKDF_SALT, length, (void *)salt);
}

static inline int pysidctx_EVP_PKEY_CTX_set1_hkdf_key(EVP_PKEY_CTX *ctx, const unsigned char *key, int length)
{
    return openssl.EVP_PKEY_CTX_set1_hkdf_key != NULL
        ? openssl.EVP_PKEY_CTX_set1_hkdf_key(ctx, key, length)
        : openssl.EVP_PKEY_CTX_ctrl(ctx, -1, -1, EVP_PKEY_CTRL_HKDF_KEY, length, (void *)key);
}

static inline int pysidctx_EVP_PKEY_CTX_add1_hkdf_info(EVP_PKEY_CTX *ctx, const unsigned char *info, int length)
{
    return openssl.EVP_PKEY_CTX_add1_hkdf_info != NULL
        ? openssl.EVP_PKEY_CTX_add1_hkdf_info(ctx, info, length)
        : openssl.EVP_PKEY_CTX_ctrl(ctx, -1, -1, EVP_PKEY_CTRL_HKDF_INFO, length, (void *)info);
}

/* The callback for ticket keys is given an HMAC_CTX before 3.0, and an EVP_MAC_CTX since. */
typedef void pysidctx_TICKET_MAC;
typedef int (*pysidctx_ticket_key_fn)(SSL *ssl, unsigned char *key_name, unsigned char *iv, EVP_CIPHER_CTX *ctx,
                                      pysidctx_TICKET_MAC *mac, int enc);

static inline int pysidctx_set_ticket_key_callback(SSL_CTX *ctx, pysidctx_ticket_key_fn cb)
{
    if (openssl.SSL_CTX_set_tlsext_ticket_key_evp_cb != NULL)
        return openssl.SSL_CTX_set_tlsext_ticket_key_evp_cb(
            ctx, (int (*)(SSL *, unsigned char *, unsigned char *, EVP_CIPHER_CTX *, EVP_MAC_CTX *, int))cb);
    return (int)openssl.SSL_CTX_callback_ctrl(ctx, SSL_CTRL_SET_TLSEXT_TICKET_KEY_CB, (void (*)(void))cb);
}

static inline int pysidctx_ticket_mac_init(pysidctx_TICKET_MAC *mac, const unsigned char *key, size_t length)
{
    OSSL_PARAM params[2];

    if (openssl.EVP_MAC_init == NULL)
        return openssl.HMAC_Init_ex(mac, key, (int)length, openssl.EVP_sha256(), NULL);
    params[0] = openssl.OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, "SHA256", 0);
    params[1] = openssl.OSSL_PARAM_construct_end();
    return openssl.EVP_MAC_init(mac, key, length, params);
}

/* A session's time in more than 31 bits where a long has no more, since 3.3. */
static inline time_t pysidctx_SSL_SESSION_get_time(const SSL_SESSION *session)
{
    return openssl.SSL_SESSION_get_time_ex != NULL ? openssl.SSL_SESSION_get_time_ex(session)
                                                   : (time_t)openssl.SSL_SESSION_get_time(session);
}

static inline time_t pysidctx_SSL_SESSION_set_time(SSL_SESSION *session, time_t t)
{
    return openssl.SSL_SESSION_set_time_ex != NULL ? openssl.SSL_SESSION_set_time_ex(session, t)
                                                   : (time_t)openssl.SSL_SESSION_set_time(session, (long)t);
}

/* Without the pre-shared keys of TLS 1.2, OpenSSL has nothing to take away. */
static inline void pysidctx_SSL_set_psk_server_callback(SSL *ssl, SSL_psk_server_cb_func callback)
{
    if (openssl.SSL_set_psk_server_callback != NULL)
        openssl.SSL_set_psk_server_callback(ssl, callback);
}

/* The host's name for which a peer's certificate is checked; NULL if there is none, or where OpenSSL does not tell. */
static inline const char *pysidctx_get0_host(X509_VERIFY_PARAM *param)
{
    return openssl.X509_VERIFY_PARAM_get0_host == NULL ? NULL : openssl.X509_VERIFY_PARAM_get0_host(param, 0);
}

/* The same for an address, as text, which the caller frees. */
static inline char *pysidctx_get1_ip_asc(X509_VERIFY_PARAM *param)
{
    char *address;

    if (openssl.X509_VERIFY_PARAM_get1_ip_asc == NULL)
        return NULL;
    openssl.ERR_set_mark(); /* it is an error if there is none */
    address = openssl.X509_VERIFY_PARAM_get1_ip_asc(param);
    openssl.ERR_pop_to_mark();
    return address;
}

/* Whether a peer's certificate is checked for a host's name or address; -1 where OpenSSL does not
 * tell. */
static inline int pysidctx_checks_host(X509_VERIFY_PARAM *param)
{
    char *address;

    if (openssl.X509_VERIFY_PARAM_get0_host == NULL)
        return -1;
    if (openssl.X509_VERIFY_PARAM_get0_host(param, 0) != NULL)
        return 1;
    address = pysidctx_get1_ip_asc(param);
    OPENSSL_free(address);
    return address != NULL;
}

static inline void *pysidctx_X509_OBJECT_dup(const void *object)
{
    X509_OBJECT *copy = openssl.X509_OBJECT_new();
    X509 *certificate = openssl.X509_OBJECT_get0_X509(object);
    X509_CRL *crl = openssl.X509_OBJECT_get0_X509_CRL(object);

    if (copy == NULL
        || (certificate != NULL && !openssl.X509_OBJECT_set1_X509(copy, certificate))
        || (crl != NULL && !openssl.X509_OBJECT_set1_X509_CRL(copy, crl))) {
        openssl.X509_OBJECT_free(copy);
        return NULL;
    }
    return copy;
}

/* Since 3.3 OpenSSL hands out a copy of a store's objects, taken under the store's lock; before
 * that it had only a view of the live stack, which verifying connections append to. */
static inline STACK_OF(X509_OBJECT) *pysidctx_X509_STORE_get1_objects(X509_STORE *store)
{
    OPENSSL_STACK *objects;

    if (openssl.X509_STORE_get1_objects != NULL)
        return openssl.X509_STORE_get1_objects(store);
    if (!openssl.X509_STORE_lock(store))
        return NULL;
    objects = openssl.OPENSSL_sk_deep_copy((const OPENSSL_STACK *)openssl.X509_STORE_get0_objects(store),
                                           pysidctx_X509_OBJECT_dup, (OPENSSL_sk_freefunc)openssl.X509_OBJECT_free);
    openssl.X509_STORE_unlock(store);
    return (STACK_OF(X509_OBJECT) *)objects;
}

#endif
