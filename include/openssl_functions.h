/* Every OpenSSL function that pysidctx calls: its result, its name, its arguments.
 *
 * Included with NEED defined, which declares, fills or checks one; the others are NEED where they are not
 * defined, too.  All are undefined afterwards.
 *
 *   NEED       in every version from 1.1.1 on
 *   EITHER     the same, but some versions have the second prototype, which differs in `const` alone
 *   FROM_3_0   since 3.0; NULL in the table of an older one
 *   FROM_3_3   since 3.3
 *   UNTIL_3_0  called before 3.0 alone
 *   MAY        may be missing: an OpenSSL can be built without pre-shared keys */

#ifndef EITHER
#define EITHER(result, name, arguments, result2, arguments2) NEED(result, name, arguments)
#endif
#ifndef FROM_3_0
#define FROM_3_0 NEED
#endif
#ifndef FROM_3_3
#define FROM_3_3 FROM_3_0
#endif
#ifndef UNTIL_3_0
#define UNTIL_3_0 FROM_3_0
#endif
#ifndef MAY
#define MAY FROM_3_0
#endif

/* openssl/crypto.h */
NEED(int, CRYPTO_free_ex_index, (int class_index, int idx))
NEED(void, OPENSSL_cleanse, (void *ptr, size_t len))
NEED(void *, CRYPTO_zalloc, (size_t num, const char *file, int line))
NEED(void *, CRYPTO_memdup, (const void *str, size_t size, const char *file, int line))
NEED(void, CRYPTO_free, (void *ptr, const char *file, int line))
NEED(void, CRYPTO_clear_free, (void *ptr, size_t num, const char *file, int line))
NEED(int, CRYPTO_get_ex_new_index, (int class_index, long argl, void *argp, CRYPTO_EX_new *new_func,
     CRYPTO_EX_dup *dup_func, CRYPTO_EX_free *free_func))
NEED(unsigned long, OpenSSL_version_num, (void))
NEED(const char *, OpenSSL_version, (int type))

/* openssl/stack.h */
NEED(int, OPENSSL_sk_num, (const OPENSSL_STACK *))
NEED(void *, OPENSSL_sk_value, (const OPENSSL_STACK *, int))
NEED(void, OPENSSL_sk_pop_free, (OPENSSL_STACK *st, void (*func)(void *)))
NEED(OPENSSL_STACK *, OPENSSL_sk_deep_copy, (const OPENSSL_STACK *, OPENSSL_sk_copyfunc c, OPENSSL_sk_freefunc f))

/* openssl/bio.h */
NEED(const BIO_METHOD *, BIO_s_mem, (void))
NEED(BIO *, BIO_new, (const BIO_METHOD *type))
NEED(BIO *, BIO_new_mem_buf, (const void *buf, int len))
NEED(int, BIO_free, (BIO *a))
NEED(int, BIO_test_flags, (const BIO *b, int flags))
NEED(long, BIO_ctrl, (BIO *bp, int cmd, long number, void *parg))

/* openssl/rand.h */
NEED(int, RAND_bytes, (unsigned char *buf, int num))

/* openssl/err.h */
NEED(unsigned long, ERR_peek_last_error, (void))
NEED(void, ERR_clear_error, (void))
NEED(void, ERR_error_string_n, (unsigned long e, char *buf, size_t len))
NEED(int, ERR_set_mark, (void))
NEED(int, ERR_pop_to_mark, (void))

/* openssl/evp.h, openssl/kdf.h, openssl/hmac.h, openssl/params.h */
NEED(int, EVP_EncryptInit_ex, (EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher, ENGINE *impl, const unsigned char *key,
     const unsigned char *iv))
NEED(int, EVP_DecryptInit_ex, (EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher, ENGINE *impl, const unsigned char *key,
     const unsigned char *iv))
NEED(EVP_CIPHER_CTX *, EVP_CIPHER_CTX_new, (void))
NEED(void, EVP_CIPHER_CTX_free, (EVP_CIPHER_CTX *c))
NEED(int, EVP_CIPHER_CTX_ctrl, (EVP_CIPHER_CTX *ctx, int type, int arg, void *ptr))
NEED(int, EVP_EncryptUpdate, (EVP_CIPHER_CTX *ctx, unsigned char *out, int *outl, const unsigned char *in, int inl))
NEED(int, EVP_DecryptUpdate, (EVP_CIPHER_CTX *ctx, unsigned char *out, int *outl, const unsigned char *in, int inl))
NEED(int, EVP_EncryptFinal_ex, (EVP_CIPHER_CTX *ctx, unsigned char *out, int *outl))
NEED(int, EVP_DecryptFinal_ex, (EVP_CIPHER_CTX *ctx, unsigned char *outm, int *outl))
NEED(EVP_PKEY_CTX *, EVP_PKEY_CTX_new_id, (int id, ENGINE *e))
NEED(void, EVP_PKEY_CTX_free, (EVP_PKEY_CTX *ctx))
NEED(int, EVP_PKEY_derive_init, (EVP_PKEY_CTX *ctx))
NEED(int, EVP_PKEY_derive, (EVP_PKEY_CTX *ctx, unsigned char *key, size_t *keylen))
NEED(int, EVP_Digest, (const void *data, size_t count, unsigned char *md, unsigned int *size, const EVP_MD *type,
     ENGINE *impl))
FROM_3_0(int, EVP_PKEY_CTX_set_hkdf_md, (EVP_PKEY_CTX *ctx, const EVP_MD *md))
FROM_3_0(int, EVP_PKEY_CTX_set1_hkdf_salt, (EVP_PKEY_CTX *ctx, const unsigned char *salt, int saltlen))
FROM_3_0(int, EVP_PKEY_CTX_set1_hkdf_key, (EVP_PKEY_CTX *ctx, const unsigned char *key, int keylen))
FROM_3_0(int, EVP_PKEY_CTX_add1_hkdf_info, (EVP_PKEY_CTX *ctx, const unsigned char *info, int infolen))
NEED(const EVP_MD *, EVP_sha256, (void))
NEED(const EVP_CIPHER *, EVP_aes_128_cbc, (void))
NEED(const EVP_CIPHER *, EVP_aes_256_cbc, (void))
NEED(const EVP_CIPHER *, EVP_aes_256_gcm, (void))
FROM_3_0(EVP_MD *, EVP_MD_fetch, (OSSL_LIB_CTX *ctx, const char *algorithm, const char *properties))
FROM_3_0(EVP_CIPHER *, EVP_CIPHER_fetch, (OSSL_LIB_CTX *ctx, const char *algorithm, const char *properties))
NEED(int, EVP_PKEY_CTX_ctrl, (EVP_PKEY_CTX *ctx, int keytype, int optype, int cmd, int p1, void *p2))
UNTIL_3_0(int, HMAC_Init_ex, (HMAC_CTX *ctx, const void *key, int len, const EVP_MD *md, ENGINE *impl))
FROM_3_0(int, EVP_MAC_init, (EVP_MAC_CTX *ctx, const unsigned char *key, size_t keylen, const OSSL_PARAM params[]))
FROM_3_0(OSSL_PARAM, OSSL_PARAM_construct_utf8_string, (const char *key, char *buf, size_t bsize))
FROM_3_0(OSSL_PARAM, OSSL_PARAM_construct_end, (void))

/* openssl/asn1.h, openssl/pem.h */
NEED(int, ASN1_TIME_to_tm, (const ASN1_TIME *s, struct tm *tm))
NEED(int, PEM_read_bio, (BIO *bp, char **name, char **header, unsigned char **data, long *len))
NEED(int, PEM_write_bio, (BIO *bp, const char *name, const char *hdr, const unsigned char *data, long len))

/* openssl/x509.h */
NEED(const ASN1_TIME *, X509_get0_notAfter, (const X509 *x))
EITHER(X509_NAME *, X509_get_issuer_name, (const X509 *a), const X509_NAME *, (const X509 *a))
NEED(void, X509_CRL_free, (X509_CRL *a))
NEED(const ASN1_TIME *, X509_CRL_get0_lastUpdate, (const X509_CRL *crl))
NEED(const ASN1_TIME *, X509_CRL_get0_nextUpdate, (const X509_CRL *crl))
NEED(int, X509_CRL_get_ext_by_NID, (const X509_CRL *x, int nid, int lastpos))
NEED(int, X509_CRL_verify, (X509_CRL *a, EVP_PKEY *r))
NEED(EVP_PKEY *, X509_get0_pubkey, (const X509 *x))
NEED(int, X509_up_ref, (X509 *x))
NEED(void, X509_free, (X509 *a))
EITHER(int, i2d_X509, (const X509 *a, unsigned char **out), int, (X509 *a, unsigned char **out))
EITHER(int, i2d_X509_AUX, (const X509 *a, unsigned char **out), int, (X509 *a, unsigned char **out))
EITHER(int, i2d_X509_CRL, (const X509_CRL *a, unsigned char **out), int, (X509_CRL *a, unsigned char **out))
EITHER(int, i2d_X509_NAME, (const X509_NAME *a, unsigned char **out), int, (X509_NAME *a, unsigned char **out))

/* openssl/x509_vfy.h */
NEED(void, X509_OBJECT_free, (X509_OBJECT *a))
NEED(X509 *, X509_OBJECT_get0_X509, (const X509_OBJECT *a))
EITHER(X509_CRL *, X509_OBJECT_get0_X509_CRL, (const X509_OBJECT *a), X509_CRL *, (X509_OBJECT *a))
NEED(int, X509_VERIFY_PARAM_set_inh_flags, (X509_VERIFY_PARAM *param, uint32_t flags))
NEED(uint32_t, X509_VERIFY_PARAM_get_inh_flags, (const X509_VERIFY_PARAM *param))
NEED(X509_STORE_CTX *, X509_STORE_CTX_new, (void))
NEED(void, X509_STORE_CTX_free, (X509_STORE_CTX *ctx))
EITHER(int, X509_STORE_CTX_init, (X509_STORE_CTX *ctx, X509_STORE *trust_store, const X509 *target,
       STACK_OF(X509) *untrusted), int, (X509_STORE_CTX *ctx, X509_STORE *trust_store, X509 *target,
       STACK_OF(X509) *untrusted))
EITHER(STACK_OF(X509_CRL) *, X509_STORE_CTX_get1_crls, (const X509_STORE_CTX *st, const X509_NAME *nm),
       STACK_OF(X509_CRL) *, (X509_STORE_CTX *st, X509_NAME *nm))
EITHER(X509_VERIFY_PARAM *, X509_STORE_get0_param, (const X509_STORE *ctx), X509_VERIFY_PARAM *, (X509_STORE *ctx))
EITHER(unsigned long, X509_VERIFY_PARAM_get_flags, (const X509_VERIFY_PARAM *param), unsigned long,
       (X509_VERIFY_PARAM *param))
NEED(int, X509_VERIFY_PARAM_get_depth, (const X509_VERIFY_PARAM *param))
NEED(int, X509_VERIFY_PARAM_get_auth_level, (const X509_VERIFY_PARAM *param))
NEED(unsigned int, X509_VERIFY_PARAM_get_hostflags, (const X509_VERIFY_PARAM *param))
NEED(X509_OBJECT *, X509_OBJECT_new, (void))
NEED(int, X509_OBJECT_set1_X509, (X509_OBJECT *a, X509 *obj))
NEED(int, X509_OBJECT_set1_X509_CRL, (X509_OBJECT *a, X509_CRL *obj))
NEED(int, X509_STORE_lock, (X509_STORE *ctx))
NEED(int, X509_STORE_unlock, (X509_STORE *ctx))
EITHER(STACK_OF(X509_OBJECT) *, X509_STORE_get0_objects, (const X509_STORE *xs), STACK_OF(X509_OBJECT) *,
       (X509_STORE *xs))
FROM_3_3(STACK_OF(X509_OBJECT) *, X509_STORE_get1_objects, (X509_STORE *xs))
FROM_3_0(char *, X509_VERIFY_PARAM_get0_host, (X509_VERIFY_PARAM *param, int idx))
FROM_3_0(char *, X509_VERIFY_PARAM_get1_ip_asc, (X509_VERIFY_PARAM *param))
NEED(void *, X509_LOOKUP_get_method_data, (const X509_LOOKUP *ctx))
NEED(X509_STORE *, X509_LOOKUP_get_store, (const X509_LOOKUP *ctx))
NEED(X509_LOOKUP_METHOD *, X509_LOOKUP_file, (void))

/* openssl/ssl.h */
NEED(SSL *, SSL_new, (SSL_CTX *ctx))
NEED(void, SSL_free, (SSL *ssl))
NEED(SSL_CTX *, SSL_get_SSL_CTX, (const SSL *ssl))
NEED(SSL_SESSION *, SSL_get_session, (const SSL *ssl))
NEED(SSL_SESSION *, SSL_get1_session, (SSL *ssl))
NEED(int, SSL_set_session, (SSL *to, SSL_SESSION *session))
NEED(int, SSL_session_reused, (const SSL *s))
NEED(const SSL_CIPHER *, SSL_get_pending_cipher, (const SSL *s))
NEED(STACK_OF(SSL_CIPHER) *, SSL_get_ciphers, (const SSL *s))
NEED(int, SSL_in_before, (const SSL *s))
NEED(int, SSL_want, (const SSL *s))
NEED(int, SSL_get_fd, (const SSL *s))
NEED(BIO *, SSL_get_rbio, (const SSL *s))
NEED(BIO *, SSL_get_wbio, (const SSL *s))
NEED(const char *, SSL_get0_peername, (SSL *s))
NEED(int, SSL_get_security_level, (const SSL *s))
NEED(int, SSL_is_init_finished, (const SSL *s))
NEED(OSSL_HANDSHAKE_STATE, SSL_get_state, (const SSL *ssl))
NEED(int, SSL_is_server, (const SSL *s))
NEED(int, SSL_version, (const SSL *ssl))
NEED(const SSL_METHOD *, SSL_get_ssl_method, (const SSL *s))
NEED(STACK_OF(X509) *, SSL_get0_verified_chain, (const SSL *s))
NEED(long, SSL_get_verify_result, (const SSL *ssl))
NEED(void, SSL_set_verify_result, (SSL *ssl, long v))
NEED(const SSL_METHOD *, SSL_CTX_get_ssl_method, (const SSL_CTX *ctx))
NEED(const SSL_METHOD *, TLS_client_method, (void))
NEED(const SSL_METHOD *, TLS_server_method, (void))
NEED(const SSL_METHOD *, TLS_method, (void))
NEED(int, SSL_CTX_set_session_id_context, (SSL_CTX *ctx, const unsigned char *sid_ctx, unsigned int sid_ctx_len))
NEED(int, SSL_set_session_id_context, (SSL *ssl, const unsigned char *sid_ctx, unsigned int sid_ctx_len))
NEED(void, SSL_CTX_set_client_hello_cb, (SSL_CTX *c, SSL_client_hello_cb_fn cb, void *arg))
NEED(int, SSL_client_hello_get0_ext, (SSL *s, unsigned int type, const unsigned char **out, size_t *outlen))
NEED(const char *, SSL_get_servername, (const SSL *s, int type))
NEED(SSL_CTX *, SSL_set_SSL_CTX, (SSL *ssl, SSL_CTX *ctx))
NEED(int, SSL_CTX_up_ref, (SSL_CTX *ctx))
NEED(void, SSL_CTX_free, (SSL_CTX *))
NEED(SSL_CTX_keylog_cb_func, SSL_CTX_get_keylog_callback, (const SSL_CTX *ctx))
NEED(SSL_verify_cb, SSL_CTX_get_verify_callback, (const SSL_CTX *ctx))
NEED(int, SSL_get_verify_mode, (const SSL *s))
NEED(void, SSL_set_verify, (SSL *s, int mode, SSL_verify_cb callback))
MAY(void, SSL_set_psk_server_callback, (SSL *ssl, SSL_psk_server_cb_func cb))
NEED(void, SSL_set_psk_find_session_callback, (SSL *s, SSL_psk_find_session_cb_func cb))
NEED(X509_VERIFY_PARAM *, SSL_get0_param, (SSL *ssl))
NEED(int, SSL_set1_param, (SSL *ssl, X509_VERIFY_PARAM *vpm))
NEED(uint64_t, SSL_CTX_get_options, (const SSL_CTX *ctx))
NEED(uint64_t, SSL_get_options, (const SSL *s))
NEED(uint64_t, SSL_set_options, (SSL *s, uint64_t op))
NEED(uint64_t, SSL_clear_options, (SSL *s, uint64_t op))
NEED(int, SSL_CTX_set_ciphersuites, (SSL_CTX *ctx, const char *str))
NEED(size_t, SSL_CTX_get_num_tickets, (const SSL_CTX *ctx))
NEED(int, SSL_set_num_tickets, (SSL *s, size_t num_tickets))
NEED(int, SSL_CTX_set_ex_data, (SSL_CTX *ssl, int idx, void *data))
NEED(void *, SSL_CTX_get_ex_data, (const SSL_CTX *ssl, int idx))
NEED(int, SSL_set_ex_data, (SSL *ssl, int idx, void *data))
NEED(void *, SSL_get_ex_data, (const SSL *ssl, int idx))
NEED(int, SSL_CTX_set_session_ticket_cb, (SSL_CTX *ctx, SSL_CTX_generate_session_ticket_fn gen_cb,
     SSL_CTX_decrypt_session_ticket_fn dec_cb, void *arg))
NEED(int, SSL_SESSION_set1_ticket_appdata, (SSL_SESSION *ss, const void *data, size_t len))
NEED(int, SSL_SESSION_get0_ticket_appdata, (SSL_SESSION *ss, void **data, size_t *len))
NEED(void, SSL_CTX_sess_set_new_cb, (SSL_CTX *ctx, int (*cb)(SSL *ssl, SSL_SESSION *session)))
NEED(pysidctx_new_session_fn, SSL_CTX_sess_get_new_cb, (SSL_CTX *ctx))
NEED(void, SSL_CTX_set_info_callback, (SSL_CTX *ctx, void (*cb)(const SSL *ssl, int type, int value)))
NEED(pysidctx_info_fn, SSL_CTX_get_info_callback, (SSL_CTX *ctx))
NEED(void, SSL_CTX_sess_set_get_cb, (SSL_CTX *ctx, SSL_SESSION *(*cb)(SSL *ssl, const unsigned char *data, int len,
     int *copy)))
NEED(const char *, SSL_state_string, (const SSL *s))
NEED(long, SSL_CTX_get_timeout, (const SSL_CTX *ctx))
NEED(long, SSL_CTX_set_timeout, (SSL_CTX *ctx, long t))
NEED(SSL_SESSION *, SSL_SESSION_new, (void))
EITHER(SSL_SESSION *, SSL_SESSION_dup, (const SSL_SESSION *src), SSL_SESSION *, (SSL_SESSION *src))
NEED(int, SSL_SESSION_up_ref, (SSL_SESSION *ses))
NEED(void, SSL_SESSION_free, (SSL_SESSION *ses))
NEED(const unsigned char *, SSL_SESSION_get_id, (const SSL_SESSION *s, unsigned int *len))
NEED(int, SSL_SESSION_set1_id, (SSL_SESSION *s, const unsigned char *sid, unsigned int sid_len))
NEED(size_t, SSL_SESSION_get_master_key, (const SSL_SESSION *sess, unsigned char *out, size_t outlen))
NEED(int, SSL_SESSION_set1_master_key, (SSL_SESSION *sess, const unsigned char *in, size_t len))
NEED(void, SSL_SESSION_get0_alpn_selected, (const SSL_SESSION *s, const unsigned char **alpn, size_t *len))
NEED(int, SSL_SESSION_set1_alpn_selected, (SSL_SESSION *s, const unsigned char *alpn, size_t len))
NEED(uint32_t, SSL_SESSION_get_max_early_data, (const SSL_SESSION *s))
NEED(int, SSL_SESSION_set_max_early_data, (SSL_SESSION *s, uint32_t max_early_data))
NEED(const unsigned char *, SSL_SESSION_get0_id_context, (const SSL_SESSION *s, unsigned int *len))
NEED(int, SSL_SESSION_set1_id_context, (SSL_SESSION *s, const unsigned char *sid_ctx, unsigned int sid_ctx_len))
NEED(int, SSL_SESSION_get_protocol_version, (const SSL_SESSION *s))
NEED(int, SSL_SESSION_set_protocol_version, (SSL_SESSION *s, int version))
NEED(const SSL_CIPHER *, SSL_SESSION_get0_cipher, (const SSL_SESSION *s))
NEED(int, SSL_SESSION_set_cipher, (SSL_SESSION *s, const SSL_CIPHER *cipher))
NEED(long, SSL_SESSION_get_timeout, (const SSL_SESSION *s))
NEED(long, SSL_SESSION_set_timeout, (SSL_SESSION *s, long t))
NEED(int, SSL_SESSION_has_ticket, (const SSL_SESSION *s))
NEED(void, SSL_SESSION_get0_ticket, (const SSL_SESSION *s, const unsigned char **tick, size_t *len))
NEED(unsigned long, SSL_SESSION_get_ticket_lifetime_hint, (const SSL_SESSION *s))
NEED(int, SSL_SESSION_is_resumable, (const SSL_SESSION *s))
NEED(X509 *, SSL_SESSION_get0_peer, (SSL_SESSION *s))
NEED(const char *, SSL_SESSION_get0_hostname, (const SSL_SESSION *s))
NEED(int, SSL_SESSION_set1_hostname, (SSL_SESSION *s, const char *hostname))
NEED(int, SSL_SESSION_set_ex_data, (SSL_SESSION *ss, int idx, void *data))
NEED(void *, SSL_SESSION_get_ex_data, (const SSL_SESSION *ss, int idx))
EITHER(int, i2d_SSL_SESSION, (const SSL_SESSION *in, unsigned char **pp), int, (SSL_SESSION *in, unsigned char **pp))
NEED(SSL_SESSION *, d2i_SSL_SESSION, (SSL_SESSION **a, const unsigned char **pp, long length))
NEED(const char *, SSL_CIPHER_get_name, (const SSL_CIPHER *c))
NEED(uint16_t, SSL_CIPHER_get_protocol_id, (const SSL_CIPHER *c))
NEED(const SSL_CIPHER *, SSL_CIPHER_find, (SSL *ssl, const unsigned char *ptr))
NEED(X509 *, SSL_get_certificate, (const SSL *ssl))
NEED(EVP_PKEY *, SSL_get_privatekey, (const SSL *ssl))
NEED(int, SSL_CTX_get_verify_mode, (const SSL_CTX *ctx))
NEED(int, SSL_CTX_get_verify_depth, (const SSL_CTX *ctx))
NEED(int, SSL_CTX_get_security_level, (const SSL_CTX *ctx))
NEED(X509_VERIFY_PARAM *, SSL_CTX_get0_param, (SSL_CTX *ctx))
NEED(X509_STORE *, SSL_CTX_get_cert_store, (const SSL_CTX *))
NEED(X509 *, SSL_CTX_get0_certificate, (const SSL_CTX *ctx))
NEED(EVP_PKEY *, SSL_CTX_get0_privatekey, (const SSL_CTX *ctx))
NEED(STACK_OF(X509_NAME) *, SSL_CTX_get_client_CA_list, (const SSL_CTX *s))
NEED(const STACK_OF(X509_NAME) *, SSL_CTX_get0_CA_list, (const SSL_CTX *ctx))
NEED(long, SSL_CTX_ctrl, (SSL_CTX *ctx, int cmd, long number, void *parg))
NEED(long, SSL_ctrl, (SSL *ssl, int cmd, long number, void *parg))
NEED(long, SSL_CTX_callback_ctrl, (SSL_CTX *ctx, int cmd, void (*fp)(void)))
FROM_3_0(int, SSL_CTX_set_tlsext_ticket_key_evp_cb, (SSL_CTX *ctx,
         int (*cb)(SSL *ssl, unsigned char *key_name, unsigned char *iv, EVP_CIPHER_CTX *ctx, EVP_MAC_CTX *mac, int enc)))
NEED(long, SSL_SESSION_get_time, (const SSL_SESSION *s))
NEED(long, SSL_SESSION_set_time, (SSL_SESSION *s, long t))
FROM_3_3(time_t, SSL_SESSION_get_time_ex, (const SSL_SESSION *s))
FROM_3_3(time_t, SSL_SESSION_set_time_ex, (SSL_SESSION *s, time_t t))

#undef NEED
#undef EITHER
#undef FROM_3_0
#undef FROM_3_3
#undef UNTIL_3_0
#undef MAY
