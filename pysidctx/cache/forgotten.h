/* The part of the shared memory that tells what was forgotten: two copies of a sealed list, and a generation that
 * selects the valid one.  A process that is killed while it writes has written the other copy. */
#ifndef PYSIDCTX_FORGOTTEN_H
#define PYSIDCTX_FORGOTTEN_H

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FORGOTTEN_MOST 4000 /* entries of a list */
#define FORGOTTEN_NAME_LENGTH 16
#define FORGOTTEN_SEAL_LENGTH 32

typedef struct {
    unsigned char name[FORGOTTEN_NAME_LENGTH];
    uint64_t since; /* sessions made until then are refused: a Unix time, in seconds */
} forgotten_entry;

typedef struct {
    uint64_t generation;
    uint64_t count;
    forgotten_entry entries[FORGOTTEN_MOST];
} forgotten_list;

typedef struct {
    unsigned char nonce[12];
    unsigned char tag[16];
    unsigned char unused[4];
    forgotten_list list;
} forgotten_copy;

/* What follows it in memory begins with a cache line. */
typedef struct {
    _Alignas(64) _Atomic uint64_t generation;
    _Atomic uint64_t words[2][sizeof(forgotten_copy) / sizeof(uint64_t)];
} forgotten_memory;

static inline uint64_t forgotten_generation(const forgotten_memory *memory)
{
    return atomic_load_explicit(&memory->generation, memory_order_acquire);
}

/* Copies the list of a generation, which may be torn: its seal tells. */
static inline void forgotten_read(const forgotten_memory *memory, uint64_t generation, forgotten_copy *copy)
{
    size_t i;

    for (i = 0; i < sizeof(forgotten_copy) / sizeof(uint64_t); i++) {
        uint64_t word = atomic_load_explicit(&memory->words[generation & 1][i], memory_order_relaxed);

        memcpy((unsigned char *)copy + i * sizeof(word), &word, sizeof(word));
    }
    atomic_thread_fence(memory_order_acquire);
}

/* One writer at a time. */
static inline void forgotten_write(forgotten_memory *memory, uint64_t generation, const forgotten_copy *copy)
{
    size_t i;

    for (i = 0; i < sizeof(forgotten_copy) / sizeof(uint64_t); i++) {
        uint64_t word;

        memcpy(&word, (const unsigned char *)copy + i * sizeof(word), sizeof(word));
        atomic_store_explicit(&memory->words[generation & 1][i], word, memory_order_relaxed);
    }
    atomic_store_explicit(&memory->generation, generation, memory_order_release);
}

/* Keeps other processes from writing.  The kernel frees the lock when this process ends, however it does; a child does
 * not inherit it.  Returns 0 if another process has had it for `seconds`. */
static inline int forgotten_lock(int file, int seconds)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    struct timespec pause = {0, 1000000};
    int tries;

    for (tries = 0; tries <= 1000 * seconds; tries++) {
        if (fcntl(file, F_SETLK, &lock) == 0)
            return 1;
        if (errno != EACCES && errno != EAGAIN && errno != EINTR)
            return 0;
        nanosleep(&pause, NULL);
    }
    return 0;
}

static inline void forgotten_unlock(int file)
{
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};

    fcntl(file, F_SETLK, &lock);
}

#endif
