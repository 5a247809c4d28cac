"""host_table.h, declared for Cython."""

from libc.stdint cimport uint64_t

cdef extern from "host_table.h" nogil:
    ctypedef struct host_entry:
        void *context
        bint explicit_id
        unsigned char id_length
        unsigned char name_length
        unsigned char bytes[]

    ctypedef struct host_slots:
        size_t mask
        size_t taken
        size_t count

    ctypedef struct atomic_int:
        pass

    ctypedef struct host_table:
        atomic_int rejects_unmatched
        atomic_int closed
        uint64_t key[2]

    enum:
        HOSTS_MATCHED
        HOSTS_UNMATCHED
        HOSTS_REJECTED
        HOSTS_MALFORMED

    host_table *table_new(const uint64_t *key)
    host_table *table_hold(host_table *table)
    void table_release(host_table *table)
    host_slots *table_slots(host_table *table)
    host_slots *table_swap(host_table *table, host_slots *slots)
    void table_changed(host_table *table)
    const host_entry *table_match(host_table *table, uint64_t hash, unsigned char *name,
                                  size_t length)
    void table_count(host_table *table, unsigned int counter)
    unsigned long long table_counted(host_table *table, unsigned int counter)

    host_slots *slots_new(size_t entries)
    host_slots *slots_copy(host_slots *slots, size_t more)
    bint slots_have_room(host_slots *slots)
    host_entry *slots_get(host_slots *slots, const uint64_t *key, const unsigned char *name,
                          size_t length)
    host_entry *slots_put(host_slots *slots, host_entry *entry)
    host_entry *slots_delete(host_slots *slots, const uint64_t *key, const unsigned char *name,
                             size_t length)
    host_entry *slots_next(host_slots *slots, size_t *i)
    host_entry *slots_take(host_slots *slots, size_t *i)

    host_entry *entry_new(const host_table *table, void *context, bint explicit_id,
                          const unsigned char *id_context, unsigned int id_length,
                          const unsigned char *name, unsigned int name_length)
    const unsigned char *entry_name(const host_entry *entry)

    uint64_t siphash(const uint64_t *key, const unsigned char *data, size_t length)
    int flag_load(atomic_int *object)
    void flag_store(atomic_int *object, int value)
