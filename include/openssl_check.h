/* Proves openssl_api.h by OpenSSL's own headers: compiling this is the check.
 *
 * Included alone in a source file, which declares nothing else of OpenSSL's.  setup.py takes its sentences from what
 * the compiler says: what "pysidctx needs" of an OpenSSL, and what "OpenSSL declares otherwise" than openssl_api.h. */
#ifndef PYSIDCTX_OPENSSL_CHECK_H
#define PYSIDCTX_OPENSSL_CHECK_H

#define OPENSSL_SUPPRESS_DEPRECATED

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/objects.h>
#include <openssl/opensslv.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

/* What the getters of two callbacks return, for which OpenSSL has no names. */
typedef int (*pysidctx_new_session_fn)(SSL *ssl, SSL_SESSION *session);
typedef void (*pysidctx_info_fn)(const SSL *ssl, int type, int value);

/* Other libraries do not have its ClientHello callback. */
#if OPENSSL_VERSION_NUMBER < 0x10101000L || defined(LIBRESSL_VERSION_NUMBER) || defined(OPENSSL_IS_BORINGSSL) \
    || defined(OPENSSL_IS_AWSLC)
#error "pysidctx needs OpenSSL 1.1.1 or later, itself"
#endif
/* The options of 1.1.1 are an `unsigned long`. */
#if OPENSSL_VERSION_NUMBER < 0x30000000L && __SIZEOF_LONG__ < 8
#error "pysidctx needs OpenSSL 3.0 or later, where a long has 32 bits"
#endif

#define PYSIDCTX_DIFFERS "OpenSSL declares otherwise: "
#define PYSIDCTX_SAME(type, other) __builtin_types_compatible_p(__typeof__(type), __typeof__(other))
#define PYSIDCTX_HAS(result, name, arguments) PYSIDCTX_SAME(&(name), (result(*) arguments)0)

#define CONSTANT(name, value) _Static_assert((long long)(name) == (value), PYSIDCTX_DIFFERS #name);
#include "openssl_constants.h"
#undef CONSTANT

#define TEXT(name, value) \
    _Static_assert(sizeof(name) == sizeof(value) && !__builtin_strcmp(name, value), PYSIDCTX_DIFFERS #name);
#define TYPE(name, type) _Static_assert(PYSIDCTX_SAME(name, type), PYSIDCTX_DIFFERS #name);
#define FUNCTION_TYPE(result, name, arguments) \
    _Static_assert(PYSIDCTX_SAME(name *, result(*) arguments), PYSIDCTX_DIFFERS #name);
#define CALLBACK(result, name, arguments) \
    _Static_assert(PYSIDCTX_SAME(name, result(*) arguments), PYSIDCTX_DIFFERS #name);
#define NEED(result, name, arguments) _Static_assert(PYSIDCTX_HAS(result, name, arguments), PYSIDCTX_DIFFERS #name);
#define EITHER(result, name, arguments, result2, arguments2) \
    _Static_assert(PYSIDCTX_HAS(result, name, arguments) || PYSIDCTX_HAS(result2, name, arguments2), \
                   PYSIDCTX_DIFFERS #name);
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
#include <openssl/core_names.h>
#include <openssl/params.h>
#define TEXT_FROM_3_0 TEXT
#define FUNCTION_TYPE_FROM_3_0 FUNCTION_TYPE
#define MEMBER(type, name, offset) \
    _Static_assert(PYSIDCTX_SAME(((OSSL_PARAM *)0)->name, type) && offsetof(OSSL_PARAM, name) == (offset), \
                   PYSIDCTX_DIFFERS "OSSL_PARAM");
MEMBER(const char *, key, 0)
MEMBER(unsigned int, data_type, sizeof(void *))
MEMBER(void *, data, 2 * sizeof(void *))
MEMBER(size_t, data_size, 3 * sizeof(void *))
MEMBER(size_t, return_size, 4 * sizeof(void *))
_Static_assert(sizeof(OSSL_PARAM) == 5 * sizeof(void *), PYSIDCTX_DIFFERS "OSSL_PARAM");
#define UNTIL_3_0(result, name, arguments)
#define FROM_3_0 NEED
#else
#define TEXT_FROM_3_0(name, value)
#define FUNCTION_TYPE_FROM_3_0(result, name, arguments)
#define UNTIL_3_0 NEED
#define FROM_3_0(result, name, arguments)
#endif
#if OPENSSL_VERSION_NUMBER >= 0x30300000L
#define FROM_3_3 NEED
#else
#define FROM_3_3(result, name, arguments)
#endif
#ifdef OPENSSL_NO_PSK
#define MAY(result, name, arguments)
#else
#define MAY NEED
#endif
#include "openssl_callbacks.h"
#include "openssl_functions.h"
TYPE(OSSL_HANDSHAKE_STATE, unsigned int)
TYPE(SSL_TICKET_STATUS, int)
TYPE(SSL_TICKET_RETURN, int)
_Static_assert(SSL_MAX_SID_CTX_LENGTH == 32, PYSIDCTX_DIFFERS "SSL_MAX_SID_CTX_LENGTH");
TEXT(PEM_STRING_SSL_SESSION, "SSL SESSION PARAMETERS")
TEXT_FROM_3_0(OSSL_MAC_PARAM_DIGEST, "digest")

#endif
