/* The last of the texts that any threads have left, with how many there were, until a thread takes it. */
#ifndef PYSIDCTX_LAST_NOTE_H
#define PYSIDCTX_LAST_NOTE_H

#include <stdlib.h>
#include <string.h>

#include "lockfree/readers.h"

#define NOTE_LENGTH 255 /* bytes of a text that are kept: as many as a host name has at most */

typedef struct {
    size_t count;  /* of the texts that were left since one was taken */
    int kind;      /* of the last one */
    size_t length; /* of the last one, which may be longer than what is kept */
    unsigned char text[NOTE_LENGTH];
} last_note;

/* Whoever has exchanged the pointer owns the note, so nobody reads one that another thread frees.  Returns 0 if memory
 * runs out; then the text is neither kept nor counted. */
static inline int note_leave(shared_pointer *place, int kind, const unsigned char *text, size_t length)
{
    last_note *note = (last_note *)malloc(sizeof(last_note)), *former;
    void *none;

    if (note == NULL)
        return 0;
    note->count = 1;
    note->kind = kind;
    note->length = length;
    if (length > 0)
        memcpy(note->text, text, length < NOTE_LENGTH ? length : NOTE_LENGTH);
    do {
        former = (last_note *)shared_exchange(place, NULL);
        if (former != NULL)
            note->count += former->count;
        free(former);
        none = NULL;
    } while (!atomic_compare_exchange_strong(&place->value, &none, (void *)note));
    return 1;
}

/* Returns a note, which the caller frees, or NULL. */
static inline last_note *note_take(shared_pointer *place)
{
    return (last_note *)shared_exchange(place, NULL);
}

#endif
