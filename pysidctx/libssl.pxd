"""OpenSSL as its manual pages spell it: every function and type that pysidctx uses."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.time cimport tm

cdef extern from "openssl_api.h" nogil:
    ctypedef void **CRYPTO_EX_dup_from "pysidctx_CRYPTO_EX_dup_from"

    # openssl/crypto.h
    ctypedef struct CRYPTO_EX_DATA:
        pass
    ctypedef void CRYPTO_EX_new(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx,
                                long argl, void *argp) noexcept
    ctypedef void CRYPTO_EX_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx,
                                 long argl, void *argp) noexcept
    ctypedef int CRYPTO_EX_dup(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *from_,
                               CRYPTO_EX_dup_from from_d, int idx, long argl,
                               void *argp) noexcept

    enum:
        CRYPTO_EX_INDEX_SSL
        CRYPTO_EX_INDEX_SSL_CTX
        CRYPTO_EX_INDEX_SSL_SESSION

    int CRYPTO_free_ex_index "OPENSSL(CRYPTO_free_ex_index)" (int class_index, int idx)
    void *OPENSSL_zalloc(size_t num)
    void *OPENSSL_memdup(const void *str, size_t s)
    void OPENSSL_free(void *addr)
    void OPENSSL_clear_free(void *addr, size_t num)
    void OPENSSL_cleanse "OPENSSL(OPENSSL_cleanse)" (void *ptr, size_t len)

    # openssl/bio.h
    ctypedef struct BIO:
        pass
    ctypedef struct BIO_METHOD:
        pass

    const BIO_METHOD *BIO_s_mem "OPENSSL(BIO_s_mem)" ()
    BIO *BIO_new "OPENSSL(BIO_new)" (const BIO_METHOD *type)
    BIO *BIO_new_mem_buf "OPENSSL(BIO_new_mem_buf)" (const void *buf, int len)
    int BIO_free "OPENSSL(BIO_free)" (BIO *a)
    long BIO_get_mem_data(BIO *b, char **pp)
    int BIO_test_flags "OPENSSL(BIO_test_flags)" (const BIO *b, int flags)

    enum:
        BIO_FLAGS_SHOULD_RETRY

    # openssl/rand.h
    int RAND_bytes "OPENSSL(RAND_bytes)" (unsigned char *buf, int num)

    # openssl/evp.h
    ctypedef struct EVP_MD:
        pass
    ctypedef struct EVP_CIPHER:
        pass
    ctypedef struct EVP_CIPHER_CTX:
        pass
    ctypedef struct EVP_PKEY:
        pass
    ctypedef struct EVP_PKEY_CTX:
        pass
    ctypedef struct ENGINE:
        pass

    enum:
        EVP_PKEY_HKDF
        EVP_CTRL_AEAD_GET_TAG
        EVP_CTRL_AEAD_SET_TAG

    int EVP_EncryptInit_ex "OPENSSL(EVP_EncryptInit_ex)" (
        EVP_CIPHER_CTX *ctx, const EVP_CIPHER *type, ENGINE *impl, const unsigned char *key, const unsigned char
        *iv)
    int EVP_DecryptInit_ex "OPENSSL(EVP_DecryptInit_ex)" (
        EVP_CIPHER_CTX *ctx, const EVP_CIPHER *type, ENGINE *impl, const unsigned char *key, const unsigned char
        *iv)
    EVP_CIPHER_CTX *EVP_CIPHER_CTX_new "OPENSSL(EVP_CIPHER_CTX_new)" ()
    void EVP_CIPHER_CTX_free "OPENSSL(EVP_CIPHER_CTX_free)" (EVP_CIPHER_CTX *ctx)
    int EVP_CIPHER_CTX_ctrl "OPENSSL(EVP_CIPHER_CTX_ctrl)" (EVP_CIPHER_CTX *ctx, int cmd, int p1, void *p2)
    int EVP_EncryptUpdate "OPENSSL(EVP_EncryptUpdate)" (
        EVP_CIPHER_CTX *ctx, unsigned char *out, int *outl, const unsigned char *in_, int inl)
    int EVP_DecryptUpdate "OPENSSL(EVP_DecryptUpdate)" (
        EVP_CIPHER_CTX *ctx, unsigned char *out, int *outl, const unsigned char *in_, int inl)
    int EVP_EncryptFinal_ex "OPENSSL(EVP_EncryptFinal_ex)" (EVP_CIPHER_CTX *ctx, unsigned char *out, int *outl)
    int EVP_DecryptFinal_ex "OPENSSL(EVP_DecryptFinal_ex)" (EVP_CIPHER_CTX *ctx, unsigned char *outm, int *outl)
    EVP_PKEY_CTX *EVP_PKEY_CTX_new_id "OPENSSL(EVP_PKEY_CTX_new_id)" (int id, ENGINE *e)
    void EVP_PKEY_CTX_free "OPENSSL(EVP_PKEY_CTX_free)" (EVP_PKEY_CTX *ctx)
    int EVP_PKEY_derive_init "OPENSSL(EVP_PKEY_derive_init)" (EVP_PKEY_CTX *ctx)
    int EVP_PKEY_derive "OPENSSL(EVP_PKEY_derive)" (EVP_PKEY_CTX *ctx, unsigned char *key, size_t *keylen)
    int EVP_Digest "OPENSSL(EVP_Digest)" (
        const void *data, size_t count, unsigned char *md, unsigned int *size, const EVP_MD *type, ENGINE *impl)

    # openssl/err.h
    unsigned long ERR_peek_last_error "OPENSSL(ERR_peek_last_error)" ()
    void ERR_clear_error "OPENSSL(ERR_clear_error)" ()
    void ERR_error_string_n "OPENSSL(ERR_error_string_n)" (unsigned long e, char *buf, size_t len)
    int ERR_set_mark "OPENSSL(ERR_set_mark)" ()
    int ERR_pop_to_mark "OPENSSL(ERR_pop_to_mark)" ()

    # openssl/objects.h
    enum:
        NID_issuing_distribution_point

    # openssl/asn1.h
    ctypedef int i2d_of_void(const void *, unsigned char **) noexcept
    ctypedef struct ASN1_TIME:
        pass

    int ASN1_TIME_to_tm "OPENSSL(ASN1_TIME_to_tm)" (const ASN1_TIME *s, tm *tm)

    # openssl/pem.h
    const char *PEM_STRING_SSL_SESSION

    int PEM_read_bio "OPENSSL(PEM_read_bio)" (BIO *bp, char **name, char **header, unsigned char **data, long *len)
    int PEM_write_bio "OPENSSL(PEM_write_bio)" (
        BIO *bp, const char *name, const char *hdr, const unsigned char *data, long len)

    # openssl/x509.h
    ctypedef struct X509:
        pass
    ctypedef struct X509_CRL:
        pass
    ctypedef struct X509_NAME:
        pass
    ctypedef struct STACK_OF_X509 "STACK_OF(X509)":
        pass
    ctypedef struct STACK_OF_X509_CRL "STACK_OF(X509_CRL)":
        pass
    ctypedef struct STACK_OF_X509_NAME "STACK_OF(X509_NAME)":
        pass

    int sk_X509_num(const STACK_OF_X509 *sk)
    X509 *sk_X509_value(const STACK_OF_X509 *sk, int idx)
    const ASN1_TIME *X509_get0_notAfter "OPENSSL(X509_get0_notAfter)" (const X509 *x)
    X509_NAME *X509_get_issuer_name "OPENSSL(X509_get_issuer_name)" (const X509 *x)
    int sk_X509_CRL_num(const STACK_OF_X509_CRL *sk)
    X509_CRL *sk_X509_CRL_value(const STACK_OF_X509_CRL *sk, int idx)
    void sk_X509_CRL_pop_free(STACK_OF_X509_CRL *sk, void (*free)(X509_CRL *))
    void X509_CRL_free "OPENSSL(X509_CRL_free)" (X509_CRL *a)
    const ASN1_TIME *X509_CRL_get0_lastUpdate "OPENSSL(X509_CRL_get0_lastUpdate)" (const X509_CRL *crl)
    const ASN1_TIME *X509_CRL_get0_nextUpdate "OPENSSL(X509_CRL_get0_nextUpdate)" (const X509_CRL *crl)
    int X509_CRL_get_ext_by_NID "OPENSSL(X509_CRL_get_ext_by_NID)" (const X509_CRL *x, int nid, int lastpos)
    int X509_CRL_verify "OPENSSL(X509_CRL_verify)" (X509_CRL *a, EVP_PKEY *r)
    EVP_PKEY *X509_get0_pubkey "OPENSSL(X509_get0_pubkey)" (const X509 *x)
    int X509_up_ref "OPENSSL(X509_up_ref)" (X509 *x)
    void X509_free "OPENSSL(X509_free)" (X509 *a)
    int sk_X509_NAME_num(const STACK_OF_X509_NAME *sk)
    X509_NAME *sk_X509_NAME_value(const STACK_OF_X509_NAME *sk, int idx)
    int i2d_X509 "OPENSSL(i2d_X509)" (X509 *a, unsigned char **ppout)
    int i2d_X509_AUX "OPENSSL(i2d_X509_AUX)" (X509 *a, unsigned char **ppout)
    int i2d_X509_CRL "OPENSSL(i2d_X509_CRL)" (X509_CRL *a, unsigned char **ppout)
    int i2d_X509_NAME "OPENSSL(i2d_X509_NAME)" (X509_NAME *a, unsigned char **ppout)

    # openssl/x509_vfy.h
    ctypedef struct X509_STORE:
        pass
    ctypedef struct X509_OBJECT:
        pass
    ctypedef struct X509_VERIFY_PARAM:
        pass
    ctypedef struct X509_STORE_CTX:
        pass
    ctypedef struct STACK_OF_X509_OBJECT "STACK_OF(X509_OBJECT)":
        pass

    int sk_X509_OBJECT_num(const STACK_OF_X509_OBJECT *sk)
    X509_OBJECT *sk_X509_OBJECT_value(const STACK_OF_X509_OBJECT *sk, int idx)
    void sk_X509_OBJECT_pop_free(STACK_OF_X509_OBJECT *sk, void (*free)(X509_OBJECT *))
    void X509_OBJECT_free "OPENSSL(X509_OBJECT_free)" (X509_OBJECT *a)
    X509 *X509_OBJECT_get0_X509 "OPENSSL(X509_OBJECT_get0_X509)" (const X509_OBJECT *a)
    X509_CRL *X509_OBJECT_get0_X509_CRL "OPENSSL(X509_OBJECT_get0_X509_CRL)" (const X509_OBJECT *a)
    enum:
        X509_V_OK
        X509_V_FLAG_CRL_CHECK
        X509_V_FLAG_CRL_CHECK_ALL
        X509_V_FLAG_NO_CHECK_TIME
        X509_VP_FLAG_OVERWRITE
        X509_VP_FLAG_RESET_FLAGS

    int X509_VERIFY_PARAM_set_inh_flags "OPENSSL(X509_VERIFY_PARAM_set_inh_flags)" (
        X509_VERIFY_PARAM *param, uint32_t flags)
    uint32_t X509_VERIFY_PARAM_get_inh_flags "OPENSSL(X509_VERIFY_PARAM_get_inh_flags)" (const X509_VERIFY_PARAM *param)
    X509_STORE_CTX *X509_STORE_CTX_new "OPENSSL(X509_STORE_CTX_new)" ()
    void X509_STORE_CTX_free "OPENSSL(X509_STORE_CTX_free)" (X509_STORE_CTX *ctx)
    int X509_STORE_CTX_init "OPENSSL(X509_STORE_CTX_init)" (
        X509_STORE_CTX *ctx, X509_STORE *trust_store, X509 *target, STACK_OF_X509 *untrusted)
    STACK_OF_X509_CRL *X509_STORE_CTX_get1_crls "OPENSSL(X509_STORE_CTX_get1_crls)" (X509_STORE_CTX *st, X509_NAME *nm)
    STACK_OF_X509_OBJECT *X509_STORE_get0_objects "OPENSSL(X509_STORE_get0_objects)" (const X509_STORE *xs)
    X509_VERIFY_PARAM *X509_STORE_get0_param "OPENSSL(X509_STORE_get0_param)" (const X509_STORE *xs)
    unsigned long X509_VERIFY_PARAM_get_flags "OPENSSL(X509_VERIFY_PARAM_get_flags)" (X509_VERIFY_PARAM *param)
    int X509_VERIFY_PARAM_get_depth "OPENSSL(X509_VERIFY_PARAM_get_depth)" (const X509_VERIFY_PARAM *param)
    int X509_VERIFY_PARAM_get_auth_level "OPENSSL(X509_VERIFY_PARAM_get_auth_level)" (const X509_VERIFY_PARAM *param)
    unsigned int X509_VERIFY_PARAM_get_hostflags "OPENSSL(X509_VERIFY_PARAM_get_hostflags)" (
        const X509_VERIFY_PARAM *param)

    # openssl/tls1.h
    enum:
        TLSEXT_TYPE_server_name
        TLSEXT_TYPE_supported_versions
        TLSEXT_NAMETYPE_host_name
        TLSEXT_MAXLEN_host_name

    # openssl/ssl.h
    ctypedef struct SSL_CTX:
        pass
    ctypedef struct SSL:
        pass
    ctypedef struct SSL_SESSION:
        pass
    ctypedef struct SSL_CIPHER:
        pass
    ctypedef struct STACK_OF_SSL_CIPHER "STACK_OF(SSL_CIPHER)":
        pass
    ctypedef struct SSL_METHOD:
        pass

    enum:
        SSL_MAX_SID_CTX_LENGTH
        SSL_MAX_SSL_SESSION_ID_LENGTH
        SSL_MAX_MASTER_KEY_LENGTH
        SSL_SESS_CACHE_CLIENT
        SSL_SESS_CACHE_SERVER
        SSL_SESS_CACHE_NO_AUTO_CLEAR
        SSL_SESS_CACHE_NO_INTERNAL
        SSL_CB_CONNECT_EXIT
        SSL_CB_READ_ALERT
        SSL_CB_HANDSHAKE_START
        SSL_CB_HANDSHAKE_DONE
        SSL_NOTHING
        SSL_WRITING
        SSL_READING
        TLS_ST_OK
        SSL_CB_ACCEPT_LOOP
        SSL_VERIFY_PEER
        SSL_VERIFY_FAIL_IF_NO_PEER_CERT
        SSL_VERIFY_POST_HANDSHAKE
        SSL_CERT_SET_FIRST
        SSL_CERT_SET_NEXT
        SSL_CLIENT_HELLO_SUCCESS
        SSL_CLIENT_HELLO_ERROR
        SSL_AD_DECODE_ERROR
        SSL_AD_HANDSHAKE_FAILURE
        SSL_AD_ILLEGAL_PARAMETER
        SSL_AD_INTERNAL_ERROR
        SSL_AD_UNRECOGNIZED_NAME
        SSL_TLSEXT_ERR_OK
        SSL_TLSEXT_ERR_ALERT_FATAL
        SSL_TLSEXT_ERR_NOACK
        SSL_OP_NO_TICKET
        SSL_OP_NO_TLSv1
        SSL_OP_NO_TLSv1_1
        SSL_OP_NO_TLSv1_2
        SSL_OP_NO_TLSv1_3
        SSL3_VERSION
        TLS1_VERSION
        TLS1_1_VERSION
        TLS1_2_VERSION
        TLS1_3_VERSION
        DTLS1_VERSION
        DTLS1_2_VERSION

    ctypedef int (*SSL_client_hello_cb_fn)(SSL *s, int *al, void *arg) noexcept nogil

    SSL *SSL_new "OPENSSL(SSL_new)" (SSL_CTX *ctx)
    void SSL_free "OPENSSL(SSL_free)" (SSL *ssl)
    SSL_CTX *SSL_get_SSL_CTX "OPENSSL(SSL_get_SSL_CTX)" (const SSL *ssl)
    SSL_SESSION *SSL_get_session "OPENSSL(SSL_get_session)" (const SSL *ssl)
    SSL_SESSION *SSL_get1_session "OPENSSL(SSL_get1_session)" (SSL *ssl)
    int SSL_set_session "OPENSSL(SSL_set_session)" (SSL *to, SSL_SESSION *session)
    int SSL_session_reused "OPENSSL(SSL_session_reused)" (const SSL *s)
    const SSL_CIPHER *SSL_get_pending_cipher "OPENSSL(SSL_get_pending_cipher)" (const SSL *ssl)
    STACK_OF_SSL_CIPHER *SSL_get_ciphers "OPENSSL(SSL_get_ciphers)" (const SSL *ssl)
    int SSL_in_before "OPENSSL(SSL_in_before)" (const SSL *s)
    int SSL_want "OPENSSL(SSL_want)" (const SSL *s)
    int SSL_get_fd "OPENSSL(SSL_get_fd)" (const SSL *s)
    BIO *SSL_get_rbio "OPENSSL(SSL_get_rbio)" (const SSL *s)
    BIO *SSL_get_wbio "OPENSSL(SSL_get_wbio)" (const SSL *s)
    const char *SSL_get0_peername "OPENSSL(SSL_get0_peername)" (SSL *s)
    int SSL_get_security_level "OPENSSL(SSL_get_security_level)" (const SSL *s)
    int SSL_is_init_finished "OPENSSL(SSL_is_init_finished)" (const SSL *s)
    int SSL_get_state "OPENSSL(SSL_get_state)" (const SSL *ssl)
    const char *SSL_state_string "OPENSSL(SSL_state_string)" (const SSL *s)
    int SSL_is_server "OPENSSL(SSL_is_server)" (const SSL *s)
    int SSL_version "OPENSSL(SSL_version)" (const SSL *s)
    const SSL_METHOD *SSL_get_ssl_method "OPENSSL(SSL_get_ssl_method)" (const SSL *s)
    STACK_OF_X509 *SSL_get0_verified_chain "OPENSSL(SSL_get0_verified_chain)" (const SSL *s)
    long SSL_get_verify_result "OPENSSL(SSL_get_verify_result)" (const SSL *ssl)
    void SSL_set_verify_result "OPENSSL(SSL_set_verify_result)" (SSL *ssl, long arg)
    const SSL_METHOD *SSL_CTX_get_ssl_method "OPENSSL(SSL_CTX_get_ssl_method)" (const SSL_CTX *ctx)
    const SSL_METHOD *TLS_client_method "OPENSSL(TLS_client_method)" ()
    const SSL_METHOD *TLS_server_method "OPENSSL(TLS_server_method)" ()
    const SSL_METHOD *TLS_method "OPENSSL(TLS_method)" ()

    int SSL_CTX_set_session_id_context "OPENSSL(SSL_CTX_set_session_id_context)" (
        SSL_CTX *ctx, const unsigned char *sid_ctx, unsigned int sid_ctx_len)
    int SSL_set_session_id_context "OPENSSL(SSL_set_session_id_context)" (
        SSL *ssl, const unsigned char *sid_ctx, unsigned int sid_ctx_len)
    void SSL_CTX_set_client_hello_cb "OPENSSL(SSL_CTX_set_client_hello_cb)" (
        SSL_CTX *c, SSL_client_hello_cb_fn cb, void *arg)
    int SSL_client_hello_get0_ext "OPENSSL(SSL_client_hello_get0_ext)" (
        SSL *s, unsigned int type, const unsigned char **out, size_t *outlen)
    long SSL_CTX_set_tlsext_servername_callback(
        SSL_CTX *ctx, int (*cb)(SSL *s, int *al, void *arg) noexcept nogil)

    const char *SSL_get_servername "OPENSSL(SSL_get_servername)" (const SSL *s, const int type)

    SSL_CTX *SSL_set_SSL_CTX "OPENSSL(SSL_set_SSL_CTX)" (SSL *ssl, SSL_CTX *ctx)
    int SSL_CTX_up_ref "OPENSSL(SSL_CTX_up_ref)" (SSL_CTX *ctx)
    void SSL_CTX_free "OPENSSL(SSL_CTX_free)" (SSL_CTX *ctx)
    ctypedef void (*SSL_CTX_keylog_cb_func)(const SSL *ssl, const char *line) noexcept nogil
    SSL_CTX_keylog_cb_func SSL_CTX_get_keylog_callback "OPENSSL(SSL_CTX_get_keylog_callback)" (const SSL_CTX *ctx)
    ctypedef int (*SSL_verify_cb)(int preverify_ok, X509_STORE_CTX *x509_ctx) noexcept nogil
    SSL_verify_cb SSL_CTX_get_verify_callback "OPENSSL(SSL_CTX_get_verify_callback)" (const SSL_CTX *ctx)
    int SSL_get_verify_mode "OPENSSL(SSL_get_verify_mode)" (const SSL *ssl)
    void SSL_set_verify "OPENSSL(SSL_set_verify)" (SSL *ssl, int mode, SSL_verify_cb callback)
    void SSL_set_psk_find_session_callback "OPENSSL(SSL_set_psk_find_session_callback)" (SSL *ssl, void *callback)
    X509_VERIFY_PARAM *SSL_get0_param "OPENSSL(SSL_get0_param)" (SSL *ssl)
    int SSL_set1_param "OPENSSL(SSL_set1_param)" (SSL *ssl, X509_VERIFY_PARAM *vpm)
    uint64_t SSL_CTX_get_options "OPENSSL(SSL_CTX_get_options)" (const SSL_CTX *ctx)
    uint64_t SSL_get_options "OPENSSL(SSL_get_options)" (const SSL *ssl)
    uint64_t SSL_set_options "OPENSSL(SSL_set_options)" (SSL *ssl, uint64_t options)
    uint64_t SSL_clear_options "OPENSSL(SSL_clear_options)" (SSL *ssl, uint64_t options)
    long SSL_CTX_set_max_cert_list(SSL_CTX *ctx, long size)
    long SSL_CTX_set1_groups_list(SSL_CTX *ctx, const char *list)
    long SSL_CTX_set1_sigalgs_list(SSL_CTX *ctx, const char *str)
    int SSL_CTX_set_ciphersuites "OPENSSL(SSL_CTX_set_ciphersuites)" (SSL_CTX *ctx, const char *str)
    int SSL_CTX_get_min_proto_version(SSL_CTX *ctx)
    int SSL_CTX_get_max_proto_version(SSL_CTX *ctx)
    int SSL_get_min_proto_version(SSL *ssl)
    int SSL_get_max_proto_version(SSL *ssl)
    int SSL_set_min_proto_version(SSL *ssl, int version)
    int SSL_set_max_proto_version(SSL *ssl, int version)
    size_t SSL_CTX_get_num_tickets "OPENSSL(SSL_CTX_get_num_tickets)" (SSL_CTX *ctx)
    int SSL_set_num_tickets "OPENSSL(SSL_set_num_tickets)" (SSL *ssl, size_t num_tickets)

    int SSL_CTX_get_ex_new_index(long argl, void *argp, CRYPTO_EX_new *new_func,
                                 CRYPTO_EX_dup *dup_func, CRYPTO_EX_free *free_func)
    int SSL_get_ex_new_index(long argl, void *argp, CRYPTO_EX_new *new_func,
                             CRYPTO_EX_dup *dup_func, CRYPTO_EX_free *free_func)
    int SSL_CTX_set_ex_data "OPENSSL(SSL_CTX_set_ex_data)" (SSL_CTX *d, int idx, void *arg)
    void *SSL_CTX_get_ex_data "OPENSSL(SSL_CTX_get_ex_data)" (const SSL_CTX *d, int idx)
    int SSL_set_ex_data "OPENSSL(SSL_set_ex_data)" (SSL *d, int idx, void *arg)
    void *SSL_get_ex_data "OPENSSL(SSL_get_ex_data)" (const SSL *d, int idx)
    void *SSL_get_app_data(const SSL *d)

    enum:
        SSL_TICKET_NO_DECRYPT
        SSL_TICKET_SUCCESS
        SSL_TICKET_SUCCESS_RENEW
        SSL_TICKET_RETURN_IGNORE_RENEW
        SSL_TICKET_RETURN_USE
        SSL_TICKET_RETURN_USE_RENEW

    ctypedef int SSL_TICKET_STATUS
    ctypedef int SSL_TICKET_RETURN
    ctypedef int (*SSL_CTX_generate_session_ticket_fn)(SSL *s, void *arg) noexcept nogil
    ctypedef SSL_TICKET_RETURN (*SSL_CTX_decrypt_session_ticket_fn)(
        SSL *s, SSL_SESSION *ss, const unsigned char *keyname, size_t keyname_length,
        SSL_TICKET_STATUS status, void *arg) noexcept nogil

    int SSL_CTX_set_session_ticket_cb "OPENSSL(SSL_CTX_set_session_ticket_cb)" (
        SSL_CTX *ctx, SSL_CTX_generate_session_ticket_fn gen_cb, SSL_CTX_decrypt_session_ticket_fn dec_cb, void
        *arg)
    int SSL_SESSION_set1_ticket_appdata "OPENSSL(SSL_SESSION_set1_ticket_appdata)" (
        SSL_SESSION *ss, const void *data, size_t len)
    int SSL_SESSION_get0_ticket_appdata "OPENSSL(SSL_SESSION_get0_ticket_appdata)" (
        SSL_SESSION *ss, void **data, size_t *len)
    int SSL_CTX_get_tlsext_ticket_keys(SSL_CTX *ctx, unsigned char *keys, size_t keylen)
    void SSL_CTX_sess_set_new_cb "OPENSSL(SSL_CTX_sess_set_new_cb)" (
        SSL_CTX *ctx, int (*new_session_cb)(SSL *, SSL_SESSION *) noexcept nogil)
    ctypedef int (*new_session_fn "pysidctx_new_session_fn")(SSL *ssl, SSL_SESSION *session) noexcept nogil
    new_session_fn SSL_CTX_sess_get_new_cb "OPENSSL(SSL_CTX_sess_get_new_cb)" (SSL_CTX *ctx)
    ctypedef void (*info_fn "pysidctx_info_fn")(const SSL *ssl, int type, int value) noexcept nogil
    void SSL_CTX_set_info_callback "OPENSSL(SSL_CTX_set_info_callback)" (SSL_CTX *ctx, info_fn callback)
    info_fn SSL_CTX_get_info_callback "OPENSSL(SSL_CTX_get_info_callback)" (SSL_CTX *ctx)
    void SSL_CTX_sess_set_get_cb "OPENSSL(SSL_CTX_sess_set_get_cb)" (
        SSL_CTX *ctx,
        SSL_SESSION *(*get_session_cb)(SSL *, const unsigned char *, int, int *) noexcept nogil)
    long SSL_CTX_set_session_cache_mode(SSL_CTX *ctx, long mode)
    long SSL_CTX_get_session_cache_mode(SSL_CTX *ctx)
    long SSL_CTX_get_timeout "OPENSSL(SSL_CTX_get_timeout)" (SSL_CTX *ctx)
    long SSL_CTX_set_timeout "OPENSSL(SSL_CTX_set_timeout)" (SSL_CTX *ctx, long t)

    SSL_SESSION *SSL_SESSION_new "OPENSSL(SSL_SESSION_new)" ()
    SSL_SESSION *SSL_SESSION_dup "OPENSSL(SSL_SESSION_dup)" (SSL_SESSION *src)
    int SSL_SESSION_up_ref "OPENSSL(SSL_SESSION_up_ref)" (SSL_SESSION *ses)
    void SSL_SESSION_free "OPENSSL(SSL_SESSION_free)" (SSL_SESSION *session)
    const unsigned char *SSL_SESSION_get_id "OPENSSL(SSL_SESSION_get_id)" (const SSL_SESSION *s, unsigned int *len)
    int SSL_SESSION_set1_id "OPENSSL(SSL_SESSION_set1_id)" (
        SSL_SESSION *s, const unsigned char *sid, unsigned int sid_len)
    size_t SSL_SESSION_get_master_key "OPENSSL(SSL_SESSION_get_master_key)" (
        const SSL_SESSION *session, unsigned char *out, size_t outlen)
    int SSL_SESSION_set1_master_key "OPENSSL(SSL_SESSION_set1_master_key)" (
        SSL_SESSION *sess, const unsigned char *in_, size_t len)
    void SSL_SESSION_get0_alpn_selected "OPENSSL(SSL_SESSION_get0_alpn_selected)" (
        const SSL_SESSION *s, const unsigned char **alpn, size_t *len)
    int SSL_SESSION_set1_alpn_selected "OPENSSL(SSL_SESSION_set1_alpn_selected)" (
        SSL_SESSION *s, const unsigned char *alpn, size_t len)
    uint32_t SSL_SESSION_get_max_early_data "OPENSSL(SSL_SESSION_get_max_early_data)" (const SSL_SESSION *s)
    int SSL_SESSION_set_max_early_data "OPENSSL(SSL_SESSION_set_max_early_data)" (
        SSL_SESSION *s, uint32_t max_early_data)
    const unsigned char *SSL_SESSION_get0_id_context "OPENSSL(SSL_SESSION_get0_id_context)" (
        const SSL_SESSION *s, unsigned int *len)
    int SSL_SESSION_set1_id_context "OPENSSL(SSL_SESSION_set1_id_context)" (
        SSL_SESSION *s, const unsigned char *sid_ctx, unsigned int sid_ctx_len)
    int SSL_SESSION_get_protocol_version "OPENSSL(SSL_SESSION_get_protocol_version)" (const SSL_SESSION *s)
    int SSL_SESSION_set_protocol_version "OPENSSL(SSL_SESSION_set_protocol_version)" (SSL_SESSION *s, int version)
    const SSL_CIPHER *SSL_SESSION_get0_cipher "OPENSSL(SSL_SESSION_get0_cipher)" (const SSL_SESSION *s)
    int SSL_SESSION_set_cipher "OPENSSL(SSL_SESSION_set_cipher)" (SSL_SESSION *s, const SSL_CIPHER *cipher)
    long SSL_SESSION_get_timeout "OPENSSL(SSL_SESSION_get_timeout)" (const SSL_SESSION *s)
    long SSL_SESSION_set_timeout "OPENSSL(SSL_SESSION_set_timeout)" (SSL_SESSION *s, long t)
    int SSL_SESSION_has_ticket "OPENSSL(SSL_SESSION_has_ticket)" (const SSL_SESSION *s)
    void SSL_SESSION_get0_ticket "OPENSSL(SSL_SESSION_get0_ticket)" (
        const SSL_SESSION *s, const unsigned char **tick, size_t *len)
    unsigned long SSL_SESSION_get_ticket_lifetime_hint "OPENSSL(SSL_SESSION_get_ticket_lifetime_hint)" (
        const SSL_SESSION *s)
    int SSL_SESSION_is_resumable "OPENSSL(SSL_SESSION_is_resumable)" (const SSL_SESSION *s)
    X509 *SSL_SESSION_get0_peer "OPENSSL(SSL_SESSION_get0_peer)" (SSL_SESSION *s)
    const char *SSL_SESSION_get0_hostname "OPENSSL(SSL_SESSION_get0_hostname)" (const SSL_SESSION *s)
    int SSL_SESSION_set1_hostname "OPENSSL(SSL_SESSION_set1_hostname)" (SSL_SESSION *s, const char *hostname)
    int SSL_SESSION_get_ex_new_index(long argl, void *argp, CRYPTO_EX_new *new_func,
                                     CRYPTO_EX_dup *dup_func, CRYPTO_EX_free *free_func)
    int SSL_SESSION_set_ex_data "OPENSSL(SSL_SESSION_set_ex_data)" (SSL_SESSION *ss, int idx, void *data)
    void *SSL_SESSION_get_ex_data "OPENSSL(SSL_SESSION_get_ex_data)" (const SSL_SESSION *ss, int idx)
    int i2d_SSL_SESSION "OPENSSL(i2d_SSL_SESSION)" (SSL_SESSION *in_, unsigned char **pp)
    SSL_SESSION *d2i_SSL_SESSION "OPENSSL(d2i_SSL_SESSION)" (SSL_SESSION **a, const unsigned char **pp, long length)
    const char *SSL_CIPHER_get_name "OPENSSL(SSL_CIPHER_get_name)" (const SSL_CIPHER *cipher)
    uint16_t SSL_CIPHER_get_protocol_id "OPENSSL(SSL_CIPHER_get_protocol_id)" (const SSL_CIPHER *c)
    const SSL_CIPHER *SSL_CIPHER_find "OPENSSL(SSL_CIPHER_find)" (SSL *ssl, const unsigned char *ptr)
    int sk_SSL_CIPHER_num(const STACK_OF_SSL_CIPHER *sk)
    const SSL_CIPHER *sk_SSL_CIPHER_value(const STACK_OF_SSL_CIPHER *sk, int idx)

    int SSL_set_current_cert(SSL *ssl, long op)
    X509 *SSL_get_certificate "OPENSSL(SSL_get_certificate)" (const SSL *ssl)
    EVP_PKEY *SSL_get_privatekey "OPENSSL(SSL_get_privatekey)" (const SSL *ssl)
    int SSL_get0_chain_certs(SSL *ssl, STACK_OF_X509 **sk)
    int SSL_CTX_get_extra_chain_certs_only(SSL_CTX *ctx, STACK_OF_X509 **sk)
    int SSL_CTX_get_verify_mode "OPENSSL(SSL_CTX_get_verify_mode)" (const SSL_CTX *ctx)
    int SSL_CTX_get_verify_depth "OPENSSL(SSL_CTX_get_verify_depth)" (const SSL_CTX *ctx)
    int SSL_CTX_get_security_level "OPENSSL(SSL_CTX_get_security_level)" (const SSL_CTX *ctx)
    X509_VERIFY_PARAM *SSL_CTX_get0_param "OPENSSL(SSL_CTX_get0_param)" (SSL_CTX *ctx)
    X509_STORE *SSL_CTX_get_cert_store "OPENSSL(SSL_CTX_get_cert_store)" (const SSL_CTX *ctx)
    X509 *SSL_CTX_get0_certificate "OPENSSL(SSL_CTX_get0_certificate)" (const SSL_CTX *ctx)
    EVP_PKEY *SSL_CTX_get0_privatekey "OPENSSL(SSL_CTX_get0_privatekey)" (const SSL_CTX *ctx)
    const STACK_OF_X509_NAME *SSL_CTX_get_client_CA_list "OPENSSL(SSL_CTX_get_client_CA_list)" (const SSL_CTX *ctx)
    const STACK_OF_X509_NAME *SSL_CTX_get0_CA_list "OPENSSL(SSL_CTX_get0_CA_list)" (const SSL_CTX *ctx)
