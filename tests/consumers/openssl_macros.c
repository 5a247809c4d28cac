/* Prints what OpenSSL's macros call, and its constants: those of openssl_api.h, or of OpenSSL's headers. */
#include "openssl_api.h"

#ifndef PYSIDCTX_TABLE
#include <openssl/kdf.h>
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
#include <openssl/core_names.h>
#include <openssl/params.h>
#endif
#endif
#include <stdarg.h>
#include <stdio.h>

static char memory[1024]; /* what arguments point into, as offsets are what is printed */

static void print(const char *kinds, ...)
{
    va_list arguments;

    va_start(arguments, kinds);
    printf("%s", va_arg(arguments, const char *));
    for (; *kinds; kinds++) {
        void *pointer = *kinds == 'p' ? va_arg(arguments, void *) : NULL;

        if (*kinds == 'n')
            printf(" %ld", va_arg(arguments, long));
        else if (pointer == NULL)
            printf(" NULL");
        else
            printf(" +%td", (char *)pointer - memory);
    }
    putchar('\n');
    va_end(arguments);
}

/* In the place of OpenSSL's functions. */
void *CRYPTO_zalloc(size_t num, const char *file, int line)
{
    (void)file, (void)line;
    print("n", __func__, (long)num);
    return NULL;
}

void *CRYPTO_memdup(const void *data, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    print("pn", __func__, data, (long)size);
    return NULL;
}

void CRYPTO_free(void *ptr, const char *file, int line)
{
    (void)file, (void)line;
    print("p", __func__, ptr);
}

void CRYPTO_clear_free(void *ptr, size_t num, const char *file, int line)
{
    (void)file, (void)line;
    print("pn", __func__, ptr, (long)num);
}

int CRYPTO_get_ex_new_index(int class_index, long argl, void *argp, CRYPTO_EX_new *new_func, CRYPTO_EX_dup *dup_func,
                            CRYPTO_EX_free *free_func)
{
    print("nnpppp", __func__, (long)class_index, argl, argp, (void *)new_func, (void *)dup_func, (void *)free_func);
    return 0;
}

long BIO_ctrl(BIO *bio, int cmd, long number, void *argument)
{
    print("pnnp", __func__, bio, (long)cmd, number, argument);
    return 0;
}

long SSL_CTX_ctrl(SSL_CTX *ctx, int cmd, long number, void *argument)
{
    print("pnnp", __func__, ctx, (long)cmd, number, argument);
    return 0;
}

long SSL_ctrl(SSL *ssl, int cmd, long number, void *argument)
{
    print("pnnp", __func__, ssl, (long)cmd, number, argument);
    return 0;
}

long SSL_CTX_callback_ctrl(SSL_CTX *ctx, int cmd, void (*callback)(void))
{
    print("pnp", __func__, ctx, (long)cmd, (void *)callback);
    return 0;
}

void *SSL_get_ex_data(const SSL *ssl, int index)
{
    print("pn", __func__, ssl, (long)index);
    return NULL;
}

int OPENSSL_sk_num(const OPENSSL_STACK *stack)
{
    print("p", __func__, stack);
    return 0;
}

void *OPENSSL_sk_value(const OPENSSL_STACK *stack, int index)
{
    print("pn", __func__, stack, (long)index);
    return NULL;
}

void OPENSSL_sk_pop_free(OPENSSL_STACK *stack, void (*free_func)(void *))
{
    print("pp", __func__, stack, (void *)free_func);
}

#define AT(type, offset) ((type)(void *)(memory + (offset)))

#define STACK(type, element) \
    puts(#type), \
    sk_##type##_num(AT(const STACK_OF(type) *, 1)), \
    (void)sk_##type##_value(AT(const STACK_OF(type) *, 2), 3), \
    sk_##type##_pop_free(AT(STACK_OF(type) *, 4), AT(void (*)(element *), 5))

#define print_member(type, name) \
    printf("%zu: %zu %zu\n", sizeof(type), offsetof(type, name), sizeof(((type *)NULL)->name))

int main(void)
{
    SSL_CTX *ctx = AT(SSL_CTX *, 11);
    SSL *ssl = AT(SSL *, 12);
    CRYPTO_EX_new *new_func = AT(CRYPTO_EX_new *, 13);
    CRYPTO_EX_dup *dup_func = AT(CRYPTO_EX_dup *, 14);
    CRYPTO_EX_free *free_func = AT(CRYPTO_EX_free *, 15);
    char **data = AT(char **, 16);
    STACK_OF(X509) **chain = AT(STACK_OF(X509) **, 24);

#ifdef PYSIDCTX_TABLE
    openssl.CRYPTO_zalloc = CRYPTO_zalloc;
    openssl.CRYPTO_memdup = CRYPTO_memdup;
    openssl.CRYPTO_free = CRYPTO_free;
    openssl.CRYPTO_clear_free = CRYPTO_clear_free;
    openssl.CRYPTO_get_ex_new_index = CRYPTO_get_ex_new_index;
    openssl.BIO_ctrl = BIO_ctrl;
    openssl.SSL_CTX_ctrl = SSL_CTX_ctrl;
    openssl.SSL_ctrl = SSL_ctrl;
    openssl.SSL_CTX_callback_ctrl = SSL_CTX_callback_ctrl;
    openssl.SSL_get_ex_data = SSL_get_ex_data;
    openssl.OPENSSL_sk_num = OPENSSL_sk_num;
    openssl.OPENSSL_sk_value = OPENSSL_sk_value;
    openssl.OPENSSL_sk_pop_free = OPENSSL_sk_pop_free;
#endif
    (void)OPENSSL_zalloc(40);
    (void)OPENSSL_memdup(memory + 41, 42);
    OPENSSL_free(memory + 43);
    OPENSSL_clear_free(memory + 44, 45);
    BIO_get_mem_data(AT(BIO *, 46), data);
    SSL_CTX_get_ex_new_index(1, memory + 47, new_func, dup_func, free_func);
    SSL_get_ex_new_index(2, memory + 48, new_func, dup_func, free_func);
    SSL_SESSION_get_ex_new_index(3, memory + 49, new_func, dup_func, free_func);
    (void)SSL_get_app_data(ssl);
    SSL_CTX_set_tlsext_servername_callback(ctx, AT(int (*)(SSL *, int *, void *), 50));
    SSL_CTX_get_tlsext_ticket_keys(ctx, memory + 51, 52);
    SSL_CTX_set_max_cert_list(ctx, 53);
    SSL_CTX_set_session_cache_mode(ctx, 54);
    SSL_CTX_get_session_cache_mode(ctx);
    SSL_CTX_set1_groups_list(ctx, memory + 54);
    SSL_CTX_set1_sigalgs_list(ctx, memory + 55);
    SSL_CTX_get_min_proto_version(ctx);
    SSL_CTX_get_max_proto_version(ctx);
    SSL_get_min_proto_version(ssl);
    SSL_get_max_proto_version(ssl);
    SSL_set_min_proto_version(ssl, 56);
    SSL_set_max_proto_version(ssl, 57);
    SSL_set_current_cert(ssl, 58);
    SSL_get0_chain_certs(ssl, chain);
    SSL_CTX_get_extra_chain_certs_only(ctx, chain);
    STACK(X509, X509);
    STACK(X509_CRL, X509_CRL);
    STACK(X509_LOOKUP, X509_LOOKUP);
    STACK(X509_NAME, X509_NAME);
    STACK(X509_OBJECT, X509_OBJECT);
    STACK(SSL_CIPHER, SSL_CIPHER);

    printf("%s\n%d\n", PEM_STRING_SSL_SESSION, SSL_MAX_SID_CTX_LENGTH);
    printf("%zu %zu\n", sizeof(OSSL_HANDSHAKE_STATE), sizeof(SSL_TICKET_STATUS) + sizeof(SSL_TICKET_RETURN));
#if defined(PYSIDCTX_TABLE) || OPENSSL_VERSION_NUMBER >= 0x30000000L
    printf("%s\n", OSSL_MAC_PARAM_DIGEST);
    print_member(OSSL_PARAM, key);
    print_member(OSSL_PARAM, data_type);
    print_member(OSSL_PARAM, data);
    print_member(OSSL_PARAM, data_size);
    print_member(OSSL_PARAM, return_size);
#endif
    return 0;
}
