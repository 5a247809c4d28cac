/* OpenSSL, as pysidctx's own modules see it: its types, its constants, and a table of its functions.
 *
 * Nothing of OpenSSL's headers is used, so that one binary serves every version; openssl_check.h proves the
 * declarations by the real ones.  A call of SSL_new() is spelled OPENSSL(SSL_new)(ctx).
 *
 * Each of pysidctx's modules has a table of its own, in which pysidctx.binding puts the functions when the module is
 * imported.  The linker fills the one of pysidctx.binding itself, with PYSIDCTX_LINKED.  Without PYSIDCTX_TABLE, as in
 * a user's module that cimports pysidctx.libssl, there is none: OpenSSL's own headers are included, and its functions
 * called. */
#ifndef PYSIDCTX_OPENSSL_API_H
#define PYSIDCTX_OPENSSL_API_H

#ifndef PYSIDCTX_TABLE

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#define OPENSSL(function) function

/* What the getters of two callbacks return, for which OpenSSL has no names. */
typedef int (*pysidctx_new_session_fn)(SSL *ssl, SSL_SESSION *session);
typedef void (*pysidctx_info_fn)(const SSL *ssl, int type, int value);

/* The third argument of a CRYPTO_EX_dup function, a pointer to the pointer, changed its type. */
#if OPENSSL_VERSION_NUMBER < 0x30000000L
typedef void *pysidctx_CRYPTO_EX_dup_from;
#else
typedef void **pysidctx_CRYPTO_EX_dup_from;
#endif

#else

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define STACK_OF(type) struct stack_st_##type

typedef struct stack_st OPENSSL_STACK;
typedef struct crypto_ex_data_st CRYPTO_EX_DATA;
typedef struct ossl_lib_ctx_st OSSL_LIB_CTX;
typedef struct engine_st ENGINE;
typedef struct bio_st BIO;
typedef struct bio_method_st BIO_METHOD;
typedef struct evp_md_st EVP_MD;
typedef struct evp_cipher_st EVP_CIPHER;
typedef struct evp_cipher_ctx_st EVP_CIPHER_CTX;
typedef struct evp_mac_ctx_st EVP_MAC_CTX;
typedef struct evp_pkey_st EVP_PKEY;
typedef struct evp_pkey_ctx_st EVP_PKEY_CTX;
typedef struct hmac_ctx_st HMAC_CTX;
typedef struct asn1_string_st ASN1_TIME;
typedef struct x509_st X509;
typedef struct X509_crl_st X509_CRL;
typedef struct X509_name_st X509_NAME;
typedef struct x509_store_st X509_STORE;
typedef struct x509_store_ctx_st X509_STORE_CTX;
typedef struct x509_object_st X509_OBJECT;
typedef struct x509_lookup_st X509_LOOKUP;
typedef struct x509_lookup_method_st X509_LOOKUP_METHOD;
typedef struct X509_VERIFY_PARAM_st X509_VERIFY_PARAM;
typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_session_st SSL_SESSION;
typedef struct ssl_cipher_st SSL_CIPHER;
typedef struct ssl_method_st SSL_METHOD;
STACK_OF(X509);
STACK_OF(X509_CRL);
STACK_OF(X509_LOOKUP);
STACK_OF(X509_NAME);
STACK_OF(X509_OBJECT);
STACK_OF(SSL_CIPHER);

/* The one struct of which a byte is read or written here. */
typedef struct {
    const char *key;
    unsigned int data_type;
    void *data;
    size_t data_size;
    size_t return_size;
} OSSL_PARAM;
#define OSSL_MAC_PARAM_DIGEST "digest"
#define PEM_STRING_SSL_SESSION "SSL SESSION PARAMETERS"
#define SSL_MAX_SID_CTX_LENGTH 32 /* as lockfree/id_context_slot.h has it, too */

typedef unsigned int OSSL_HANDSHAKE_STATE;
typedef int SSL_TICKET_STATUS;
typedef int SSL_TICKET_RETURN;

typedef int (*pysidctx_new_session_fn)(SSL *ssl, SSL_SESSION *session);
typedef void (*pysidctx_info_fn)(const SSL *ssl, int type, int value);

/* The third argument of `dup` is a `void *` in 1.1.1: a pointer, like this one. */
typedef void **pysidctx_CRYPTO_EX_dup_from;
#define FUNCTION_TYPE(result, name, arguments) typedef result name arguments;
#define CALLBACK(result, name, arguments) typedef result (*name) arguments;
#include "openssl_callbacks.h"

enum {
#define CONSTANT(name, value) name = value,
#include "openssl_constants.h"
#undef CONSTANT
};

typedef struct {
#define NEED(result, name, arguments) result (*name) arguments;
#include "openssl_functions.h"
} pysidctx_openssl_api;

#ifdef PYSIDCTX_LINKED
/* The functions of all versions: a name that the libssl of another machine lacks would keep the module from loading. */
#define NEED(result, name, arguments) extern result name arguments;
#define FROM_3_0(result, name, arguments)
#include "openssl_functions.h"

static pysidctx_openssl_api openssl __attribute__((unused)) = {
#define NEED(result, name, arguments) .name = name,
#define FROM_3_0(result, name, arguments)
#include "openssl_functions.h"
};
#else
static pysidctx_openssl_api openssl __attribute__((unused));
#endif

#define OPENSSL(function) openssl.function

/* What are macros in OpenSSL's headers, too. */
#define OPENSSL_zalloc(num) OPENSSL(CRYPTO_zalloc)(num, __FILE__, __LINE__)
#define OPENSSL_memdup(data, size) OPENSSL(CRYPTO_memdup)(data, size, __FILE__, __LINE__)
#define OPENSSL_free(addr) OPENSSL(CRYPTO_free)(addr, __FILE__, __LINE__)
#define OPENSSL_clear_free(addr, num) OPENSSL(CRYPTO_clear_free)(addr, num, __FILE__, __LINE__)

#define BIO_get_mem_data(bio, data) OPENSSL(BIO_ctrl)(bio, BIO_CTRL_INFO, 0, (char *)(data))

#define SSL_CTX_get_ex_new_index(argl, argp, new_func, dup_func, free_func) \
    OPENSSL(CRYPTO_get_ex_new_index)(CRYPTO_EX_INDEX_SSL_CTX, argl, argp, new_func, dup_func, free_func)
#define SSL_get_ex_new_index(argl, argp, new_func, dup_func, free_func) \
    OPENSSL(CRYPTO_get_ex_new_index)(CRYPTO_EX_INDEX_SSL, argl, argp, new_func, dup_func, free_func)
#define SSL_SESSION_get_ex_new_index(argl, argp, new_func, dup_func, free_func) \
    OPENSSL(CRYPTO_get_ex_new_index)(CRYPTO_EX_INDEX_SSL_SESSION, argl, argp, new_func, dup_func, free_func)
#define SSL_get_app_data(ssl) OPENSSL(SSL_get_ex_data)(ssl, 0)

#define SSL_CTX_set_tlsext_servername_callback(ctx, cb) \
    OPENSSL(SSL_CTX_callback_ctrl)(ctx, SSL_CTRL_SET_TLSEXT_SERVERNAME_CB, (void (*)(void))(cb))
#define SSL_CTX_get_tlsext_ticket_keys(ctx, keys, length) \
    OPENSSL(SSL_CTX_ctrl)(ctx, SSL_CTRL_GET_TLSEXT_TICKET_KEYS, length, keys)
#define SSL_CTX_set_max_cert_list(ctx, size) OPENSSL(SSL_CTX_ctrl)(ctx, SSL_CTRL_SET_MAX_CERT_LIST, size, NULL)
#define SSL_CTX_set1_groups_list(ctx, list) OPENSSL(SSL_CTX_ctrl)(ctx, SSL_CTRL_SET_GROUPS_LIST, 0, (char *)(list))
#define SSL_CTX_set1_sigalgs_list(ctx, list) OPENSSL(SSL_CTX_ctrl)(ctx, SSL_CTRL_SET_SIGALGS_LIST, 0, (char *)(list))
#define SSL_CTX_get_min_proto_version(ctx) OPENSSL(SSL_CTX_ctrl)(ctx, SSL_CTRL_GET_MIN_PROTO_VERSION, 0, NULL)
#define SSL_CTX_get_max_proto_version(ctx) OPENSSL(SSL_CTX_ctrl)(ctx, SSL_CTRL_GET_MAX_PROTO_VERSION, 0, NULL)
#define SSL_get_min_proto_version(ssl) OPENSSL(SSL_ctrl)(ssl, SSL_CTRL_GET_MIN_PROTO_VERSION, 0, NULL)
#define SSL_get_max_proto_version(ssl) OPENSSL(SSL_ctrl)(ssl, SSL_CTRL_GET_MAX_PROTO_VERSION, 0, NULL)
#define SSL_set_min_proto_version(ssl, version) OPENSSL(SSL_ctrl)(ssl, SSL_CTRL_SET_MIN_PROTO_VERSION, version, NULL)
#define SSL_set_max_proto_version(ssl, version) OPENSSL(SSL_ctrl)(ssl, SSL_CTRL_SET_MAX_PROTO_VERSION, version, NULL)
#define SSL_CTX_set_session_cache_mode(ctx, mode) OPENSSL(SSL_CTX_ctrl)(ctx, SSL_CTRL_SET_SESS_CACHE_MODE, mode, NULL)
#define SSL_CTX_get_session_cache_mode(ctx) OPENSSL(SSL_CTX_ctrl)(ctx, SSL_CTRL_GET_SESS_CACHE_MODE, 0, NULL)
#define SSL_set_current_cert(ssl, op) OPENSSL(SSL_ctrl)(ssl, SSL_CTRL_SET_CURRENT_CERT, op, NULL)
#define SSL_get0_chain_certs(ssl, sk) OPENSSL(SSL_ctrl)(ssl, SSL_CTRL_GET_CHAIN_CERTS, 0, sk)
#define SSL_CTX_get_extra_chain_certs_only(ctx, sk) OPENSSL(SSL_CTX_ctrl)(ctx, SSL_CTRL_GET_EXTRA_CHAIN_CERTS, 1, sk)

/* One set of functions for all stacks. */
#define PYSIDCTX_STACK(type, element) \
    static inline int sk_##type##_num(const STACK_OF(type) *sk) \
    { \
        return OPENSSL(OPENSSL_sk_num)((const OPENSSL_STACK *)sk); \
    } \
    static inline element *sk_##type##_value(const STACK_OF(type) *sk, int index) \
    { \
        return (element *)OPENSSL(OPENSSL_sk_value)((const OPENSSL_STACK *)sk, index); \
    } \
    static inline void sk_##type##_pop_free(STACK_OF(type) *sk, void (*free_func)(type *)) \
    { \
        OPENSSL(OPENSSL_sk_pop_free)((OPENSSL_STACK *)sk, (void (*)(void *))free_func); \
    }
PYSIDCTX_STACK(X509, X509)
PYSIDCTX_STACK(X509_CRL, X509_CRL)
PYSIDCTX_STACK(X509_LOOKUP, X509_LOOKUP)
PYSIDCTX_STACK(X509_NAME, X509_NAME)
PYSIDCTX_STACK(X509_OBJECT, X509_OBJECT)
PYSIDCTX_STACK(SSL_CIPHER, const SSL_CIPHER)

#endif
#endif
