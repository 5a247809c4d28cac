/* The part of the shared memory that tells what was forgotten: two copies of a sealed list, and a generation that
 * selects the valid one.  A process that is killed while it writes has written the other copy. */
#ifndef PYSIDCTX_FORGOTTEN_H
#define PYSIDCTX_FORGOTTEN_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cache/slab.h"

#define FORGOTTEN_MOST 4000 /* entries of a list */
#define FORGOTTEN_NAME_LENGTH 16
#define FORGOTTEN_AHEAD 86400 /* seconds */

#ifndef F_OFD_SETLK /* <fcntl.h> has it with _GNU_SOURCE alone, which Python.h defines */
#define F_OFD_SETLK 37
#endif

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
    unsigned char nonce[SLAB_NONCE_LENGTH];
    unsigned char tag[SLAB_TAG_LENGTH];
    unsigned char unused[4];
    forgotten_list list;
} forgotten_copy;

/* What follows it in memory begins with a cache line. */
typedef struct {
    _Alignas(64) _Atomic uint64_t generation;
    _Atomic uint64_t latest; /* when the latest full handshake was whose session was stored: a Unix time, in seconds */
    _Atomic uint64_t words[2][sizeof(forgotten_copy) / sizeof(uint64_t)];
} forgotten_memory;

static inline uint64_t forgotten_generation(const forgotten_memory *memory)
{
    return atomic_load_explicit(&memory->generation, memory_order_acquire);
}

/* Whether a time is later than `now`, as after the clock was set back.  What is a day ahead and more is no time, because
 * that of the memory is not sealed. */
static inline int forgotten_is_ahead(uint64_t time, uint64_t now)
{
    return time > now && time - now < FORGOTTEN_AHEAD;
}

/* Before a session is stored whose full handshake was at `full`. */
static inline void forgotten_note(forgotten_memory *memory, uint64_t full)
{
    uint64_t latest = atomic_load_explicit(&memory->latest, memory_order_relaxed);

    if (latest != full && !forgotten_is_ahead(latest, full))
        atomic_store_explicit(&memory->latest, full, memory_order_relaxed);
}

/* Until when all stored sessions were made: not only until `now`, where the clock has been set back since. */
static inline uint64_t forgotten_moment(const forgotten_memory *memory, uint64_t now)
{
    uint64_t latest = atomic_load_explicit(&memory->latest, memory_order_relaxed);

    return forgotten_is_ahead(latest, now) ? latest : now;
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

/* Who writes in this process: one thread at a time. */
typedef struct {
    pthread_mutex_t mutex;
    int file; /* which holds the lock; -1: none does */
} forgotten_writer;

/* At first, and in a forked child, which lacks the thread that wrote. */
static inline void forgotten_init(forgotten_writer *writer)
{
    pthread_mutex_init(&writer->mutex, NULL);
    /* A child shares the parent's lock: it would outlive a parent that is killed. */
    if (writer->file >= 0)
        close(writer->file);
    writer->file = -1;
}

/* Opens the file again: a lock of the file that the process has open (F_SETLK) would end as soon as the process closes
 * any descriptor of the same file, such as that of a second SessionCache. */
static inline int forgotten_open(int file, int *command)
{
    char path[32];
    int opened;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    opened = open(path, O_RDWR | O_CLOEXEC);
    *command = F_OFD_SETLK;
    if (opened < 0) {
        /* No /proc, or the process has become another user. */
        opened = fcntl(file, F_DUPFD_CLOEXEC, 0);
        *command = F_SETLK;
    }
    return opened;
}

/* Keeps other threads and processes from writing.  The kernel frees the lock when this process ends, however it does.
 * Returns 0, or ETIMEDOUT if others have had the lock for `seconds`, or another value of errno. */
static inline int forgotten_lock(forgotten_writer *writer, int file, int seconds)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    struct timespec pause = {0, 1000000};
    struct timespec begun, present;
    int command, failure;

    clock_gettime(CLOCK_MONOTONIC, &begun);
    do {
        if (pthread_mutex_trylock(&writer->mutex) == 0) {
            writer->file = forgotten_open(file, &command);
            if (writer->file >= 0 && fcntl(writer->file, command, &lock) == 0)
                return 0;
            failure = errno;
            if (writer->file >= 0)
                close(writer->file);
            writer->file = -1;
            pthread_mutex_unlock(&writer->mutex);
            if (failure != EACCES && failure != EAGAIN && failure != EINTR)
                return failure;
        }
        nanosleep(&pause, NULL);
        clock_gettime(CLOCK_MONOTONIC, &present);
    } while (present.tv_sec - begun.tv_sec <= seconds);
    return ETIMEDOUT;
}

static inline void forgotten_unlock(forgotten_writer *writer)
{
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};

    /* At once, also if a child has been forked that has not closed it yet. */
    fcntl(writer->file, F_OFD_SETLK, &lock);
    close(writer->file);
    writer->file = -1;
    pthread_mutex_unlock(&writer->mutex);
}

#endif
