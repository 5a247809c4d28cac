/* Every type of a function that OpenSSL is given or that pysidctx casts to: its result, its name, its arguments.
 *
 * Included with FUNCTION_TYPE and CALLBACK defined, which declare or check one.  All are undefined afterwards.
 *
 *   FUNCTION_TYPE           the type of a function
 *   FUNCTION_TYPE_FROM_3_0  the same; before 3.0 another argument was a pointer, too, but to another type
 *   CALLBACK                the type of a pointer to a function */

#ifndef FUNCTION_TYPE_FROM_3_0
#define FUNCTION_TYPE_FROM_3_0 FUNCTION_TYPE
#endif

/* openssl/crypto.h */
FUNCTION_TYPE(void, CRYPTO_EX_new, (void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp))
FUNCTION_TYPE(void, CRYPTO_EX_free, (void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp))
FUNCTION_TYPE_FROM_3_0(int, CRYPTO_EX_dup, (CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *from, void **from_d, int idx,
                       long argl, void *argp))

/* openssl/asn1.h */
FUNCTION_TYPE_FROM_3_0(int, i2d_of_void, (const void *, unsigned char **))

/* openssl/stack.h */
CALLBACK(void, OPENSSL_sk_freefunc, (void *))
CALLBACK(void *, OPENSSL_sk_copyfunc, (const void *))

/* openssl/ssl.h */
CALLBACK(int, SSL_verify_cb, (int preverify_ok, X509_STORE_CTX *x509_ctx))
CALLBACK(int, SSL_client_hello_cb_fn, (SSL *s, int *al, void *arg))
CALLBACK(void, SSL_CTX_keylog_cb_func, (const SSL *ssl, const char *line))
CALLBACK(int, SSL_CTX_generate_session_ticket_fn, (SSL *s, void *arg))
CALLBACK(SSL_TICKET_RETURN, SSL_CTX_decrypt_session_ticket_fn, (SSL *s, SSL_SESSION *ss, const unsigned char *keyname,
         size_t keyname_length, SSL_TICKET_STATUS status, void *arg))
CALLBACK(unsigned int, SSL_psk_server_cb_func, (SSL *ssl, const char *identity, unsigned char *psk,
         unsigned int max_psk_len))
CALLBACK(int, SSL_psk_find_session_cb_func, (SSL *ssl, const unsigned char *identity, size_t identity_len,
         SSL_SESSION **sess))

#undef FUNCTION_TYPE
#undef FUNCTION_TYPE_FROM_3_0
#undef CALLBACK
