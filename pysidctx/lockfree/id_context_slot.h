/* A session id context that any thread can read consistently while another thread writes it. */
#ifndef PYSIDCTX_SID_SLOT_H
#define PYSIDCTX_SID_SLOT_H

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

/* As openssl/ssl.h defines it, which is not needed here; the compiler warns if that has another value. */
#define SSL_MAX_SID_CTX_LENGTH 32
#define SID_SLOT_WORD sizeof(uint64_t)

/* There are two copies.  Readers use the copy that `generation` selects; the writer fills the other copy and
 * then selects it.  There is no lock, so a reader in a forked child never waits for a writer that does not
 * exist there. */
typedef struct {
    atomic_size_t generation;
    struct {
        _Atomic uint32_t length;
        _Atomic uint64_t words[SSL_MAX_SID_CTX_LENGTH / SID_SLOT_WORD];
    } copies[2];
} sid_slot;

static inline void sid_slot_write_word(_Atomic uint64_t *word, const unsigned char *data)
{
    uint64_t loaded;

    memcpy(&loaded, data, SID_SLOT_WORD);
    atomic_store_explicit(word, loaded, memory_order_relaxed);
}

/* One writer at a time; `length` is at most SSL_MAX_SID_CTX_LENGTH. */
static inline void sid_slot_write(sid_slot *slot, const unsigned char *data, uint32_t length)
{
    size_t next = atomic_load_explicit(&slot->generation, memory_order_relaxed) + 1;
    _Atomic uint64_t *words = slot->copies[next & 1].words;
    uint32_t i, full = length / SID_SLOT_WORD;
    uint64_t word = 0;

    /* A reader that meets a word written below must also meet the generation before this one. */
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&slot->copies[next & 1].length, length, memory_order_relaxed);
    if (length == SSL_MAX_SID_CTX_LENGTH) { /* derived id contexts have this size: copy them without loops */
        sid_slot_write_word(&words[0], data);
        sid_slot_write_word(&words[1], data + SID_SLOT_WORD);
        sid_slot_write_word(&words[2], data + 2 * SID_SLOT_WORD);
        sid_slot_write_word(&words[3], data + 3 * SID_SLOT_WORD);
    } else {
        for (i = 0; i < full; i++)
            sid_slot_write_word(&words[i], data + i * SID_SLOT_WORD);
        /* The rest in a register: bytes stored one by one are slow to load again as a word. */
        for (i = length; i-- > full * SID_SLOT_WORD;)
            word = word << 8 | data[i];
        atomic_store_explicit(&words[full], word, memory_order_relaxed);
    }
    atomic_store_explicit(&slot->generation, next, memory_order_release);
}

/* Fills `data` and returns the length.  Repeats only if a write was completed meanwhile. */
static inline uint32_t sid_slot_read(sid_slot *slot, unsigned char data[SSL_MAX_SID_CTX_LENGTH])
{
    uint64_t words[SSL_MAX_SID_CTX_LENGTH / SID_SLOT_WORD];
    uint32_t i, length;
    size_t seen;

    do {
        seen = atomic_load_explicit(&slot->generation, memory_order_acquire);
        length = atomic_load_explicit(&slot->copies[seen & 1].length, memory_order_relaxed);
        for (i = 0; i < SSL_MAX_SID_CTX_LENGTH / SID_SLOT_WORD; i++)
            words[i] = atomic_load_explicit(&slot->copies[seen & 1].words[i],
                                            memory_order_relaxed);
        atomic_thread_fence(memory_order_acquire);
    } while (atomic_load_explicit(&slot->generation, memory_order_relaxed) != seen);
    memcpy(data, words, length - length % SID_SLOT_WORD);
    for (i = length - length % SID_SLOT_WORD; i < length; i++)
        data[i] = (unsigned char)(words[i / SID_SLOT_WORD] >> 8 * (i % SID_SLOT_WORD));
    return length;
}

#endif
