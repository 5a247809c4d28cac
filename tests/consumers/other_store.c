/* Preloaded, it makes each X509_STORE look laid out in an unknown way. */
static char elsewhere;

void *X509_STORE_get0_param(const void *store)
{
    (void)store;
    return &elsewhere;
}
