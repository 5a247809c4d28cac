/* Whether an X509_STORE loads certificates on demand, from directories or URIs.
 *
 * OpenSSL has no function that lists a store's lookups.  The first fields of both structs have been the same
 * since 1.1.0, except for one more pointer before the objects in a store of 4.0.  A field is trusted only if
 * its neighbours hold the values that OpenSSL's own functions return. */
#ifndef PYSIDCTX_STORE_LOOKUPS_H
#define PYSIDCTX_STORE_LOOKUPS_H

#include <stddef.h>

#include "openssl_api.h"

struct pysidctx_store_fields {
    STACK_OF(X509_OBJECT) *objs;
    STACK_OF(X509_LOOKUP) *get_cert_methods;
    X509_VERIFY_PARAM *param;
};

/* Up to 3.6 the fields follow an int, in 4.0 an int and a pointer. */
#define PYSIDCTX_STORE_FIELDS_FIRST 1
#define PYSIDCTX_STORE_FIELDS_LAST 2

struct pysidctx_lookup_head {
    int init;
    int skip;
    X509_LOOKUP_METHOD *method;
    void *method_data;
    X509_STORE *store_ctx;
};

/* Return the lookups of a store, or NULL if this OpenSSL stores them in another way. */
static STACK_OF(X509_LOOKUP) *pysidctx_store_lookups(X509_STORE *store)
{
    int i;

    for (i = PYSIDCTX_STORE_FIELDS_FIRST; i <= PYSIDCTX_STORE_FIELDS_LAST; i++) {
        const struct pysidctx_store_fields *fields
            = (const struct pysidctx_store_fields *)((void **)store + i);

        if (fields->objs == OPENSSL(X509_STORE_get0_objects)(store)
            && fields->param == OPENSSL(X509_STORE_get0_param)(store))
            return fields->get_cert_methods;
    }
    return NULL;
}

/* Returns 1 if the store loads certificates on demand, 0 if it contains all that it trusts, and -1 if this
 * OpenSSL does not reveal it. */
static int pysidctx_store_fetches(X509_STORE *store)
{
    STACK_OF(X509_LOOKUP) *lookups = pysidctx_store_lookups(store);
    int i;

    if (lookups == NULL)
        return -1;
    for (i = 0; i < sk_X509_LOOKUP_num(lookups); i++) {
        X509_LOOKUP *lookup = sk_X509_LOOKUP_value(lookups, i);
        const struct pysidctx_lookup_head *found = (const struct pysidctx_lookup_head *)lookup;

        if (found->method_data != OPENSSL(X509_LOOKUP_get_method_data)(lookup)
            || found->store_ctx != OPENSSL(X509_LOOKUP_get_store)(lookup))
            return -1;
        if (found->method != OPENSSL(X509_LOOKUP_file)()) /* a file lookup reads only on an explicit call */
            return 1;
    }
    return 0;
}

#endif
