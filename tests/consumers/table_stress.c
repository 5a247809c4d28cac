/* Readers look for names in a host_table while a writer changes it and frees what it took out:
 * the program fails where one sees anything else than the map from before or after a change.  With the
 * argument "held", one reader keeps an entry for as long as it takes to free it, or for a tenth of a second. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hosts/table.h"

#define READERS 2

static reader_gate gate;
static host_table *table;
static atomic_int done, wrong, held, freed;

static siphash_value hash(const char *name)
{
    return siphash(&table->key, (const unsigned char *)name, strlen(name));
}

static void *read_on(void *unused)
{
    unsigned char name[] = "www.host";
    const siphash_value wanted = hash("www.host");
    atomic_size_t *inside;
    const host_entry *found;
    uint64_t state;

    (void)unused;
    while (!atomic_load(&done)) {
        inside = gate_enter(&gate);
        found = table_match(table, &wanted, name, strlen("www.host"), &state);
        if (found == NULL || state_id_length(state) != SSL_MAX_SID_CTX_LENGTH
            || memcmp(found->id_context, found->id_context + 1, SSL_MAX_SID_CTX_LENGTH - 1) != 0
            || found->name->text[found->name->length - 1] != 't')
            atomic_store(&wrong, 1);
        table_count(table, HOSTS_MATCHED);
        gate_leave(inside);
        sched_yield(); /* or they would be stopped inside most of the time */
    }
    return NULL;
}

static void put(const char *name, unsigned char id)
{
    host_slots *slots = table_slots(table);
    unsigned char id_context[SSL_MAX_SID_CTX_LENGTH];
    host_entry entry, former;

    memset(id_context, id, sizeof(id_context));
    if (!entry_init(&entry, &table->key, NULL, 1, id_context, sizeof(id_context),
                    (const unsigned char *)name, (unsigned int)strlen(name)))
        abort();
    if (!slots_have_room(slots)) {
        slots = table_swap(table, slots_copy(slots, slots->count + 1));
        gate_wait(&gate);
        slots_free(slots);
    }
    if (slots_put(table, table_slots(table), &entry, &former)) {
        gate_wait(&gate);
        free(former.name);
    }
}

static void take(const char *name)
{
    const siphash_value wanted = hash(name);
    host_entry former;
    uint64_t state;

    slots_delete(table, table_slots(table), slots_find(table_slots(table), &wanted, &state),
                 &former);
    gate_wait(&gate);
    free(former.name);
}

static void *hold(void *unused)
{
    unsigned char name[] = "www.host";
    const siphash_value wanted = hash("www.host");
    const struct timespec moment = {0, 1000000};
    atomic_size_t *inside = gate_enter(&gate);
    uint64_t state;
    const host_entry *found = table_match(table, &wanted, name, strlen("www.host"), &state);
    const host_name *kept = found->name;
    int i;

    (void)unused;
    atomic_store(&held, 1);
    for (i = 0; i < 100 && !atomic_load(&freed); i++)
        nanosleep(&moment, NULL);
    if (kept->text[kept->length - 1] != 't')
        atomic_store(&wrong, 1);
    gate_leave(inside);
    return NULL;
}

static int free_what_is_held(void)
{
    pthread_t thread;

    put("www.host", 0);
    pthread_create(&thread, NULL, hold, NULL);
    while (!atomic_load(&held))
        sched_yield();
    take("www.host");
    atomic_store(&freed, 1);
    pthread_join(thread, NULL);
    printf("1 lookups\n");
    table_release(table);
    return atomic_load(&wrong);
}

int main(int argc, char **argv)
{
    static const siphash_key key = {{1, 2}};
    pthread_t threads[READERS];
    int i, rounds = 20000;
    char other[16];
    const host_entry *left;
    size_t at = 0;

    gate_init(&gate);
    table = table_new(&key);
    if (argc > 1 && strcmp(argv[1], "held") == 0)
        return free_what_is_held();
    put("*.host", 0);
    for (i = 0; i < READERS; i++)
        pthread_create(&threads[i], NULL, read_on, NULL);
    for (i = 0; i < rounds; i++) {
        put("www.host", (unsigned char)i);
        take("*.host");
        snprintf(other, sizeof(other), "h%d", i % 500);
        put(other, 0);
        put("*.host", (unsigned char)(i + 1));
        put("*.host", (unsigned char)(i + 2));
        take("www.host");
        if (i % 3 == 0)
            take(other);
    }
    atomic_store(&done, 1);
    for (i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    while ((left = slots_next(table_slots(table), &at)) != NULL)
        free(left->name);
    printf("%llu lookups\n", table_counted(table, HOSTS_MATCHED));
    table_release(table);
    return atomic_load(&wrong);
}
