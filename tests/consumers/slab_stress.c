/* Threads write and read entries of a slab, and a list of what was forgotten, under a sanitizer.  A checksum stands for
 * the seal: what it does not fit is torn. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "cache/forgotten.h"
#include "cache/slab.h"

#define THREADS 4
#define ROUNDS 60000
#define NAMES 20
#define MOST 272
#define NOW 1000

static slab_region region = {NULL, 2, MOST};
static forgotten_memory *forgotten;
static _Atomic unsigned long wrong, torn, found;

static uint64_t checksum(const unsigned char *name, const slab_entry *entry)
{
    uint64_t sum = slab_packed(entry);
    size_t i;

    for (i = 0; i < SLAB_NAME_LENGTH; i++)
        sum = sum * 31 + name[i];
    for (i = 0; i < entry->length; i++)
        sum = sum * 31 + entry->data[i];
    return sum;
}

static void name_of(unsigned number, unsigned char *name)
{
    memset(name, (int)number + 1, SLAB_NAME_LENGTH);
    name[7] = name[23] = (unsigned char)(number << 7); /* the set */
}

static void *churn(void *seed)
{
    unsigned random = (unsigned)(size_t)seed;
    unsigned char name[SLAB_NAME_LENGTH];
    slab_entry entry;
    uint64_t sum;
    int i, cursor;

    memset(&entry, 0, sizeof(entry));
    for (i = 0; i < ROUNDS; i++) {
        random = random * 1103515245u + 12345u;
        name_of((random >> 16) % NAMES, name);
        if (random >> 8 & 1) {
            entry.end = NOW + 1 + (random >> 20) % 3;
            entry.length = (random >> 16) % (MOST + 1);
            memset(entry.data, (int)(random >> 24), MOST);
            sum = checksum(name, &entry);
            memcpy(entry.nonce, &sum, sizeof(sum));
            slab_write(&region, name, &entry, NOW);
            continue;
        }
        cursor = 0;
        while (slab_read(&region, name, &cursor, &entry)) {
            sum = checksum(name, &entry);
            if (entry.length > MOST || cursor > 2 * SLAB_WAYS)
                wrong++;
            if (memcmp(entry.nonce, &sum, sizeof(sum)) == 0)
                found++;
            else
                torn++;
        }
        if (slab_end_of(&region, name) > NOW + 3 || slab_count(&region, NOW) > 2 * SLAB_WAYS)
            wrong++;
    }
    return NULL;
}

/* Of a list all entries have the number of its generation. */
static void *forget(void *unused)
{
    forgotten_copy *copy = calloc(1, sizeof(*copy));
    uint64_t generation;
    size_t i;

    (void)unused;
    for (generation = 1; generation < 300; generation++) {
        copy->list.generation = generation;
        for (i = 0; i < FORGOTTEN_MOST; i++)
            copy->list.entries[i].since = generation;
        forgotten_write(forgotten, generation, copy);
    }
    free(copy);
    return NULL;
}

static void *look(void *unused)
{
    forgotten_copy *copy = calloc(1, sizeof(*copy));
    uint64_t generation;
    size_t i;

    (void)unused;
    do {
        generation = forgotten_generation(forgotten);
        forgotten_read(forgotten, generation, copy);
        if (forgotten_generation(forgotten) != generation)
            continue; /* it may be torn */
        for (i = 0; i < FORGOTTEN_MOST; i++)
            wrong += copy->list.entries[i].since != generation;
    } while (generation < 299);
    free(copy);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS + 3];
    size_t i;

    region.memory = calloc(region.sets, slab_set_size(MOST));
    forgotten = calloc(1, sizeof(*forgotten));
    if (region.memory == NULL || forgotten == NULL)
        return 2;
    for (i = 0; i < THREADS + 3; i++)
        if (pthread_create(&threads[i], NULL, i < THREADS ? churn : i == THREADS ? forget : look, (void *)i) != 0)
            return 2;
    for (i = 0; i < THREADS + 3; i++)
        pthread_join(threads[i], NULL);
    printf("%lu wrong, %s found\n", (unsigned long)wrong, found > 0 ? "some" : "none");
    fprintf(stderr, "%lu found, %lu torn\n", (unsigned long)found, (unsigned long)torn);
    free(region.memory);
    free(forgotten);
    return wrong > 0;
}
