/* Two threads read a sid_slot while one writes it; exits with 1 if one ever reads a mixture. */
#include <pthread.h>
#include <stdio.h>

#include "id_context_slot.h"

#define WRITES 20000000

static sid_slot slot;
static atomic_int done;

/* Each id context is one byte over and over, and its length follows from the byte. */
static uint32_t length_for(unsigned char byte)
{
    return 1 + byte % SSL_MAX_SID_CTX_LENGTH;
}

static void *read_on(void *unused)
{
    unsigned char data[SSL_MAX_SID_CTX_LENGTH];
    uintptr_t mixtures = 0;

    while (!atomic_load(&done)) {
        uint32_t i, length = sid_slot_read(&slot, data);

        mixtures += length != length_for(data[0]);
        for (i = 1; i < length; i++)
            mixtures += data[i] != data[0];
    }
    return (void *)(mixtures + (uintptr_t)unused);
}

int main(void)
{
    pthread_t readers[2];
    unsigned char data[SSL_MAX_SID_CTX_LENGTH];
    uintptr_t mixtures = 0;
    long i;

    memset(data, 0, sizeof(data));
    sid_slot_write(&slot, data, length_for(0));
    for (i = 0; i < 2; i++)
        pthread_create(&readers[i], NULL, read_on, NULL);
    for (i = 0; i < WRITES; i++) {
        memset(data, (int)(i & 0xff), sizeof(data));
        sid_slot_write(&slot, data, length_for(data[0]));
    }
    atomic_store(&done, 1);
    for (i = 0; i < 2; i++) {
        void *found;

        pthread_join(readers[i], &found);
        mixtures += (uintptr_t)found;
    }
    printf("%lu mixtures\n", (unsigned long)mixtures);
    return mixtures != 0;
}
