/* A thread that is there only while there is something to log.
 *
 * Whoever has something to log starts it, without waiting, in any thread and without the GIL.  So a process that has
 * nothing to log has no such thread, can be forked without it, and a forked child starts one of its own. */
#ifndef PYSIDCTX_DEFERRED_LOG_H
#define PYSIDCTX_DEFERRED_LOG_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define LOG_INTERVAL 1 /* seconds from one call of tell() to the next */
#define LOG_PATIENCE 1 /* seconds for which a fork, and the end of the process, wait for a call */

typedef struct {
    atomic_int pending; /* there is something to log since tell() was called */
    atomic_int running; /* there is a thread, or there will be */
    atomic_int inside;  /* it is in tell(), or about to find out whether it may be */
    atomic_int held;    /* how many threads are about to fork */
    atomic_int ended;   /* the interpreter is about to end, and nobody may take the GIL any more */
} log_thread;

/* Of each thread, as the threads of two forks may overlap. */
static _Thread_local int log_telling; /* it is in tell(), whose handlers may fork, too */
static _Thread_local int log_holding; /* how often it holds the log thread: twice if it forks while it is about to fork */

static inline void log_sleep(time_t seconds, long milliseconds)
{
    struct timespec left = {seconds, milliseconds * 1000000};

    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

static inline void log_thread_wake(log_thread *thread, void *(*run)(void *))
{
    pthread_t made;

    atomic_store(&thread->pending, 1);
    if (atomic_load(&thread->running) || atomic_exchange(&thread->running, 1))
        return;
    if (pthread_create(&made, NULL, run, NULL) == 0)
        pthread_detach(made);
    else
        atomic_store(&thread->running, 0); /* the next one tries again */
}

/* Either the thread sees here what others have stored, or they see that it is inside. */
static inline int log_thread_enter(log_thread *thread)
{
    atomic_store(&thread->inside, 1);
    if (!atomic_load(&thread->held) && !atomic_load(&thread->ended))
        return 1;
    atomic_store(&thread->inside, 0);
    return 0;
}

/* What the thread does: call tell() as long as there is something to log, each time after a pause. */
static inline void log_thread_run(log_thread *thread, void (*tell)(void))
{
    do {
        while (atomic_exchange(&thread->pending, 0)) {
            while (!log_thread_enter(thread)) {
                if (atomic_load(&thread->ended))
                    return;
                log_sleep(0, 1);
            }
            log_telling = 1;
            tell();
            log_telling = 0;
            atomic_store(&thread->inside, 0);
            log_sleep(LOG_INTERVAL, 0);
        }
        atomic_store(&thread->running, 0);
        /* Whoever came meanwhile relied on this thread, unless it has started another one. */
    } while (atomic_load(&thread->pending) && !atomic_exchange(&thread->running, 1));
}

/* Waits for a call of tell() that has begun, but not for ever: a handler of the log may be stuck.  Without the GIL, which
 * the call needs.  Returns whether there is none. */
static inline int log_thread_wait(log_thread *thread)
{
    int i;

    for (i = 0; i < LOG_PATIENCE * 1000 && atomic_load(&thread->inside); i++)
        log_sleep(0, 1);
    return !atomic_load(&thread->inside);
}

/* Before a fork: the child would never get a lock that the thread has meanwhile, such as that of a file. */
static inline void log_thread_hold(log_thread *thread)
{
    if (log_telling)
        return; /* it would wait for itself */
    log_holding++;
    atomic_fetch_add(&thread->held, 1);
    log_thread_wait(thread);
}

/* In the parent after the fork, in the same thread.  Undoes nothing if that did not hold: a module that is imported while
 * a thread is about to fork is called after the fork alone. */
static inline void log_thread_release(log_thread *thread)
{
    if (log_holding == 0)
        return;
    log_holding--;
    atomic_fetch_sub(&thread->held, 1);
}

/* In a forked child, which does not have the thread, unless a handler has forked: then it is all that the child has. */
static inline void log_thread_forked(log_thread *thread)
{
    log_holding = 0;
    atomic_store(&thread->pending, 0);
    atomic_store(&thread->running, log_telling);
    atomic_store(&thread->inside, log_telling);
    atomic_store(&thread->held, 0);
}

/* Keeps the thread out of tell() from now on.  One that is stuck there ends as other daemon threads do, when it wants the
 * GIL again.  Returns whether there is none. */
static inline int log_thread_end(log_thread *thread)
{
    atomic_store(&thread->ended, 1);
    return log_thread_wait(thread);
}

#endif
