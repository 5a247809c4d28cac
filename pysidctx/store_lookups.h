/* Whether an X509_STORE fetches certificates as it needs them, from directories or URIs.
 *
 * OpenSSL has no function that lists a store's lookups.  The first fields of the two structs have
 * been the same since 1.1.0; each is believed only where the fields around the one that is needed
 * hold what OpenSSL's own functions say. */
#ifndef PYSIDCTX_STORE_LOOKUPS_H
#define PYSIDCTX_STORE_LOOKUPS_H

#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

struct pysidctx_store_head {
    int cache;
    STACK_OF(X509_OBJECT) *objs;
    STACK_OF(X509_LOOKUP) *get_cert_methods;
    X509_VERIFY_PARAM *param;
};

struct pysidctx_lookup_head {
    int init;
    int skip;
    X509_LOOKUP_METHOD *method;
    void *method_data;
    X509_STORE *store_ctx;
};

/* 1: it does; 0: all that it trusts is in it; -1: this OpenSSL keeps them in another way. */
static int pysidctx_store_fetches(X509_STORE *store)
{
    const struct pysidctx_store_head *head = (const struct pysidctx_store_head *)store;
    int i;

    if (head->objs != X509_STORE_get0_objects(store)
        || head->param != X509_STORE_get0_param(store))
        return -1;
    for (i = 0; i < sk_X509_LOOKUP_num(head->get_cert_methods); i++) {
        X509_LOOKUP *lookup = sk_X509_LOOKUP_value(head->get_cert_methods, i);
        const struct pysidctx_lookup_head *found = (const struct pysidctx_lookup_head *)lookup;

        if (found->method_data != X509_LOOKUP_get_method_data(lookup)
            || found->store_ctx != X509_LOOKUP_get_store(lookup))
            return -1;
        if (found->method != X509_LOOKUP_file()) /* which reads its file when it is told to */
            return 1;
    }
    return 0;
}

#endif
