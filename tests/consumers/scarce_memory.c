/* Memory functions for OpenSSL that have nothing for one source file of its callers. */
#include <stdlib.h>
#include <string.h>

char scarce_for[64]; /* part of a file's name; empty: for none */

static int is_scarce(const char *file)
{
    return scarce_for[0] != '\0' && file != NULL && strstr(file, scarce_for) != NULL;
}

void *scarce_malloc(size_t size, const char *file, int line)
{
    (void)line;
    return is_scarce(file) ? NULL : malloc(size);
}

void *scarce_realloc(void *old, size_t size, const char *file, int line)
{
    (void)line;
    return is_scarce(file) ? NULL : realloc(old, size);
}

void scarce_free(void *old, const char *file, int line)
{
    (void)file;
    (void)line;
    free(old);
}
