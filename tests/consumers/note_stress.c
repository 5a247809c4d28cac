/* Threads leave notes and wake the thread that takes them; exits with 1 if one is not taken, or is a mixture. */
#include <stdio.h>

#include "deferred_log.h"
#include "lockfree/last_note.h"

#define WRITERS 4
#define ROUNDS 200
#define NOTES 50 /* of each writer, in a round */

static shared_pointer place;
static log_thread thread;
static size_t told, wrong;
static atomic_int telling;
static atomic_size_t inside; /* how often the thread told while it was held */

/* Each text is one byte over and over, and its kind and length follow from it. */
static size_t length_for(unsigned char byte)
{
    return byte * 2u; /* which may be more than is kept */
}

static void tell(void)
{
    last_note *note = note_take(&place);
    size_t i, kept;

    if (note == NULL)
        return;
    atomic_store(&telling, 1);
    log_sleep(0, 1);
    told += note->count;
    kept = note->length < NOTE_LENGTH ? note->length : NOTE_LENGTH;
    wrong += note->length != length_for((unsigned char)note->kind);
    for (i = 0; i < kept; i++)
        wrong += note->text[i] != note->kind;
    free(note);
    atomic_store(&telling, 0);
}

static void *run(void *unused)
{
    log_thread_run(&thread, tell);
    return unused;
}

static void *leave(void *unused)
{
    unsigned char text[512];
    int i;

    for (i = 0; i < NOTES; i++) {
        memset(text, i, sizeof(text));
        note_leave(&place, i, text, length_for((unsigned char)i));
        log_thread_wake(&thread, run);
    }
    return unused;
}

int main(void)
{
    pthread_t writers[WRITERS];
    size_t left = 0;
    int i, round, patience;

    for (round = 0; round < ROUNDS; round++) {
        for (i = 0; i < WRITERS; i++)
            pthread_create(&writers[i], NULL, leave, NULL);
        for (i = 0; i < 10; i++) {
            log_thread_hold(&thread);
            atomic_fetch_add(&inside, atomic_load(&telling));
            log_thread_release(&thread);
        }
        for (i = 0; i < WRITERS; i++)
            pthread_join(writers[i], NULL);
        left += WRITERS * NOTES;
        for (patience = 5000; patience && (atomic_load(&thread.pending) || atomic_load(&thread.running)); patience--)
            log_sleep(0, 1);
        if (patience == 0 || told != left || wrong != 0 || atomic_load(&inside) != 0) {
            printf("%s%zu of %zu told, %zu wrong, %zu while held\n", patience ? "" : "stuck: ", told, left, wrong,
                   atomic_load(&inside));
            return 1;
        }
    }
    if (!log_thread_end(&thread))
        return 1;
    printf("all told\n");
    return 0;
}
