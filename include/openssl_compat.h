/* The few places where the OpenSSL versions differ that pysidctx builds on. */
#ifndef PYSIDCTX_OPENSSL_COMPAT_H
#define PYSIDCTX_OPENSSL_COMPAT_H

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/opensslv.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#if OPENSSL_VERSION_NUMBER >= 0x30000000L
#include <openssl/core_names.h>
#include <openssl/params.h>
#endif

#if OPENSSL_VERSION_NUMBER < 0x10101000L
#error "pysidctx needs OpenSSL 1.1.1 or later"
#endif
#if defined(LIBRESSL_VERSION_NUMBER) || defined(OPENSSL_IS_BORINGSSL) || defined(OPENSSL_IS_AWSLC)
#error "pysidctx needs OpenSSL itself: other libraries do not have its ClientHello callback"
#endif

/* The third argument of a CRYPTO_EX_dup function, a pointer to the pointer, changed its type. */
#if OPENSSL_VERSION_NUMBER < 0x30000000L
typedef void *pysidctx_CRYPTO_EX_dup_from;
#else
typedef void **pysidctx_CRYPTO_EX_dup_from;
#endif

/* Algorithms of OpenSSL 3 are fetched, which takes longer than a short message's digest.  What these
 * return is kept for as long as the process lives. */
#if OPENSSL_VERSION_NUMBER < 0x30000000L
#define pysidctx_fetched_sha256() ((EVP_MD *)EVP_sha256())
#define pysidctx_fetched_aes128() ((EVP_CIPHER *)EVP_aes_128_cbc())
#define pysidctx_fetched_aes256() ((EVP_CIPHER *)EVP_aes_256_cbc())
#else
#define pysidctx_fetched_sha256() EVP_MD_fetch(NULL, "SHA256", NULL)
#define pysidctx_fetched_aes128() EVP_CIPHER_fetch(NULL, "AES-128-CBC", NULL)
#define pysidctx_fetched_aes256() EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL)
#endif

/* The callback for ticket keys is given an HMAC of one type or the other. */
#if OPENSSL_VERSION_NUMBER < 0x30000000L
typedef HMAC_CTX pysidctx_TICKET_MAC;
#define pysidctx_set_ticket_key_callback(ctx, cb) ((int)SSL_CTX_set_tlsext_ticket_key_cb(ctx, cb))

static inline int pysidctx_ticket_mac_init(HMAC_CTX *mac, const unsigned char *key, size_t length)
{
    return HMAC_Init_ex(mac, key, (int)length, EVP_sha256(), NULL);
}
#else
typedef EVP_MAC_CTX pysidctx_TICKET_MAC;
#define pysidctx_set_ticket_key_callback SSL_CTX_set_tlsext_ticket_key_evp_cb

static inline int pysidctx_ticket_mac_init(EVP_MAC_CTX *mac, const unsigned char *key,
                                           size_t length)
{
    OSSL_PARAM params[2];

    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, "SHA256", 0);
    params[1] = OSSL_PARAM_construct_end();
    return EVP_MAC_init(mac, key, length, params);
}
#endif

/* A session's time in more than 31 bits where a long has no more, since 3.3. */
#if OPENSSL_VERSION_NUMBER < 0x30300000L
#define pysidctx_SSL_SESSION_get_time(session) ((time_t)SSL_SESSION_get_time(session))
#define pysidctx_SSL_SESSION_set_time(session, t) ((time_t)SSL_SESSION_set_time(session, (long)(t)))
#else
#define pysidctx_SSL_SESSION_get_time SSL_SESSION_get_time_ex
#define pysidctx_SSL_SESSION_set_time SSL_SESSION_set_time_ex
#endif

/* Without the pre-shared keys of TLS 1.2, OpenSSL has nothing to take away. */
#ifdef OPENSSL_NO_PSK
#define pysidctx_SSL_set_psk_server_callback(ssl, callback) ((void)(ssl), (void)(callback))
#else
#define pysidctx_SSL_set_psk_server_callback SSL_set_psk_server_callback
#endif

/* Whether a peer's certificate is checked for a host's name or address; -1 where OpenSSL does not
 * tell. */
#if OPENSSL_VERSION_NUMBER < 0x30000000L
#define pysidctx_checks_host(param) ((void)(param), -1)
#else
static inline int pysidctx_checks_host(X509_VERIFY_PARAM *param)
{
    char *address;

    if (X509_VERIFY_PARAM_get0_host(param, 0) != NULL)
        return 1;
    ERR_set_mark(); /* it is an error if there is none */
    address = X509_VERIFY_PARAM_get1_ip_asc(param);
    ERR_pop_to_mark();
    OPENSSL_free(address);
    return address != NULL;
}
#endif

/* Since 3.3 OpenSSL hands out a copy of a store's objects, taken under the store's lock; before
 * that it had only a view of the live stack, which verifying connections append to. */
#if OPENSSL_VERSION_NUMBER < 0x30300000L
static inline X509_OBJECT *pysidctx_X509_OBJECT_dup(const X509_OBJECT *object)
{
    X509_OBJECT *copy = X509_OBJECT_new();
    X509 *certificate = X509_OBJECT_get0_X509(object);
    X509_CRL *crl = X509_OBJECT_get0_X509_CRL((X509_OBJECT *)object);

    if (copy == NULL
        || (certificate != NULL && !X509_OBJECT_set1_X509(copy, certificate))
        || (crl != NULL && !X509_OBJECT_set1_X509_CRL(copy, crl))) {
        X509_OBJECT_free(copy);
        return NULL;
    }
    return copy;
}

static inline STACK_OF(X509_OBJECT) *pysidctx_X509_STORE_get1_objects(X509_STORE *store)
{
    STACK_OF(X509_OBJECT) *objects;

    if (!X509_STORE_lock(store))
        return NULL;
    objects = sk_X509_OBJECT_deep_copy(X509_STORE_get0_objects(store),
                                       pysidctx_X509_OBJECT_dup, X509_OBJECT_free);
    X509_STORE_unlock(store);
    return objects;
}
#else
#define pysidctx_X509_STORE_get1_objects X509_STORE_get1_objects
#endif

#endif
