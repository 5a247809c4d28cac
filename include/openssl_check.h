/* Proves openssl_api.h by OpenSSL's own headers: compiling this is the check.
 *
 * Included alone in a source file, which declares nothing else of OpenSSL's. */
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

#if OPENSSL_VERSION_NUMBER < 0x10101000L
#error "pysidctx needs OpenSSL 1.1.1 or later"
#endif
#if defined(LIBRESSL_VERSION_NUMBER) || defined(OPENSSL_IS_BORINGSSL) || defined(OPENSSL_IS_AWSLC)
#error "pysidctx needs OpenSSL itself: other libraries do not have its ClientHello callback"
#endif

#define PYSIDCTX_HAS(result, name, arguments) \
    __builtin_types_compatible_p(__typeof__(&(name)), __typeof__((result(*) arguments)0))

#define CONSTANT(name, value) _Static_assert((long long)(name) == (value), "a constant has another value");
#include "openssl_constants.h"
#undef CONSTANT

_Static_assert(SSL_MAX_SID_CTX_LENGTH == 32, "SSL_MAX_SID_CTX_LENGTH has another value");

#define NEED(result, name, arguments) _Static_assert(PYSIDCTX_HAS(result, name, arguments), #name);
#define EITHER(result, name, arguments, result2, arguments2) \
    _Static_assert(PYSIDCTX_HAS(result, name, arguments) || PYSIDCTX_HAS(result2, name, arguments2), #name);
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
#include <openssl/core_names.h>
#include <openssl/params.h>
_Static_assert(sizeof(OSSL_PARAM) == 3 * sizeof(void *) + 2 * sizeof(size_t)
               && offsetof(OSSL_PARAM, data) == 2 * sizeof(void *), "OSSL_PARAM has another layout");
#define UNTIL_3_0(result, name, arguments)
#define FROM_3_0 NEED
#else
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
#include "openssl_functions.h"

#endif
