/* Readers look for names in a host_table while a writer changes it and frees what it took out:
 * the program fails where one sees anything else than the map from before or after a change. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host_table.h"

#define READERS 2

static reader_gate gate;
static host_table *table;
static atomic_int done, wrong;

static uint64_t hash(const char *name)
{
    return siphash(table->key, (const unsigned char *)name, strlen(name));
}

static host_entry *entry(const char *name, unsigned char id)
{
    unsigned char id_context[32];
    host_entry *made;

    memset(id_context, id, sizeof(id_context));
    made = entry_new(table, NULL, 1, id_context, sizeof(id_context), (const unsigned char *)name,
                     (unsigned int)strlen(name));
    if (made == NULL)
        abort();
    return made;
}

static void *read_on(void *unused)
{
    unsigned char name[] = "www.host";
    atomic_size_t *inside;
    const host_entry *found;

    (void)unused;
    while (!atomic_load(&done)) {
        inside = gate_enter(&gate);
        found = table_match(table, hash("www.host"), name, strlen("www.host"));
        if (found == NULL || memcmp(found->bytes, found->bytes + 1, found->id_length - 1) != 0)
            atomic_store(&wrong, 1);
        table_count(table, HOSTS_MATCHED);
        gate_leave(inside);
        sched_yield(); /* or they would be stopped inside most of the time */
    }
    return NULL;
}

static void give_up(void *former)
{
    if (former == NULL)
        return;
    gate_wait(&gate);
    free(former);
}

static void put(const char *name, unsigned char id)
{
    host_slots *slots = table_slots(table);
    host_entry *former;

    if (!slots_have_room(slots)) {
        host_slots *copy = slots_copy(slots, slots->count + 1);

        if (copy == NULL)
            abort();
        former = slots_put(copy, entry(name, id));
        table_swap(table, copy);
        give_up(former);
        give_up(slots);
        return;
    }
    former = slots_put(slots, entry(name, id));
    table_changed(table);
    give_up(former);
}

static void take(const char *name)
{
    host_entry *former = slots_delete(table_slots(table), table->key, (const unsigned char *)name,
                                      strlen(name));

    table_changed(table);
    give_up(former);
}

int main(int argc, char **argv)
{
    static const uint64_t key[2] = {1, 2};
    pthread_t threads[READERS];
    int i, rounds = argc > 1 ? atoi(argv[1]) : 20000;
    char other[16];
    host_entry *left;
    size_t at = 0;

    gate_init(&gate);
    table = table_new(key);
    put("*.host", 0);
    for (i = 0; i < READERS; i++)
        pthread_create(&threads[i], NULL, read_on, NULL);
    for (i = 0; i < rounds; i++) {
        put("www.host", (unsigned char)i);
        take("*.host");
        snprintf(other, sizeof(other), "h%d", i % 500);
        put(other, 0);
        put("*.host", (unsigned char)(i + 1));
        take("www.host");
        if (i % 3 == 0)
            take(other);
    }
    atomic_store(&done, 1);
    for (i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    while ((left = slots_take(table_slots(table), &at)) != NULL)
        free(left);
    printf("%llu lookups\n", table_counted(table, HOSTS_MATCHED));
    table_release(table);
    return atomic_load(&wrong);
}
