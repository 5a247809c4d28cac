"""table.h, declared for Cython."""

from libc.stdint cimport uint64_t

from pysidctx.handshake.siphash cimport siphash_key, siphash_value
from pysidctx.libssl cimport SSL_MAX_SID_CTX_LENGTH
from pysidctx.lockfree.readers cimport atomic_int

cdef extern from "hosts/table.h" nogil:
    ctypedef struct host_name:
        unsigned char length
        unsigned char text[]

    ctypedef struct host_entry:
        host_name *name
        void *context
        unsigned char id_context[SSL_MAX_SID_CTX_LENGTH]

    ctypedef struct host_slots:
        size_t count

    ctypedef struct host_table:
        atomic_int rejects_unmatched
        atomic_int closed
        siphash_key key

    enum:
        HOSTS_MATCHED
        HOSTS_UNMATCHED
        HOSTS_REJECTED
        HOSTS_MALFORMED

    bint entry_init(host_entry *entry, const siphash_key *key, void *context, bint explicit_id,
                    const unsigned char *id_context, unsigned int id_length,
                    const unsigned char *name, unsigned int name_length)
    uint64_t entry_state(const host_entry *entry)
    unsigned int state_id_length(uint64_t state)
    bint state_is_explicit(uint64_t state)
    bint state_is_wildcard(uint64_t state)

    host_slots *slots_new(size_t entries)
    void slots_free(host_slots *slots)
    host_slots *slots_copy(const host_slots *slots, size_t more)
    bint slots_have_room(const host_slots *slots)
    bint slots_put(host_table *table, host_slots *slots, const host_entry *entry,
                   host_entry *replaced)
    void slots_delete(host_table *table, host_slots *slots, host_entry *entry, host_entry *taken)
    host_entry *slots_next(const host_slots *slots, size_t *at)

    host_table *table_new(const siphash_key *key)
    host_table *table_hold(host_table *table)
    void table_release(host_table *table)
    host_slots *table_slots(host_table *table)
    host_slots *table_swap(host_table *table, host_slots *slots)
    void table_prefetch(host_table *table, const siphash_value *hash)
    const host_entry *table_match(host_table *table, const siphash_value *hash,
                                  unsigned char *name, size_t length, uint64_t *state)
    const host_entry *table_match_name(host_table *table, unsigned char *name, size_t length, uint64_t *state)
    host_entry *table_find(host_table *table, const unsigned char *pattern, size_t length)
    void table_count(host_table *table, unsigned int counter)
    unsigned long long table_counted(host_table *table, unsigned int counter)
