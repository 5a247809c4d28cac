/* SipHash-2-4 with 128 bits (Aumasson and Bernstein, 2012): a hash that is unpredictable without its key. */
#ifndef PYSIDCTX_SIPHASH_H
#define PYSIDCTX_SIPHASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SIPHASH_ROTATE(x, bits) ((x) << (bits) | (x) >> (64 - (bits)))

typedef struct {
    uint64_t words[2];
} siphash_key;

typedef struct {
    uint64_t words[2];
} siphash_value;

static inline void siphash_rounds(uint64_t v[4], int rounds)
{
    while (rounds-- > 0) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = SIPHASH_ROTATE(v[1], 13) ^ v[0];
        v[3] = SIPHASH_ROTATE(v[3], 16) ^ v[2];
        v[0] = SIPHASH_ROTATE(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = SIPHASH_ROTATE(v[1], 17) ^ v[2];
        v[3] = SIPHASH_ROTATE(v[3], 21) ^ v[0];
        v[2] = SIPHASH_ROTATE(v[2], 32);
    }
}

/* Words are read in the machine's byte order, so the result is only valid in this process. */
static inline siphash_value siphash(const siphash_key *key, const unsigned char *data,
                                    size_t length)
{
    uint64_t v[4] = {key->words[0] ^ 0x736f6d6570736575, key->words[1] ^ 0x646f72616e646f6d ^ 0xee,
                     key->words[0] ^ 0x6c7967656e657261, key->words[1] ^ 0x7465646279746573};
    uint64_t word, last = (uint64_t)length << 56;
    siphash_value value;
    size_t i;

    for (i = 0; i + 8 <= length; i += 8) {
        memcpy(&word, data + i, 8);
        v[3] ^= word;
        siphash_rounds(v, 2);
        v[0] ^= word;
    }
    for (; i < length; i++)
        last |= (uint64_t)data[i] << 8 * (i % 8);
    v[3] ^= last;
    siphash_rounds(v, 2);
    v[0] ^= last;
    v[2] ^= 0xee;
    siphash_rounds(v, 4);
    value.words[0] = v[0] ^ v[1] ^ v[2] ^ v[3];
    v[1] ^= 0xdd;
    siphash_rounds(v, 4);
    value.words[1] = v[0] ^ v[1] ^ v[2] ^ v[3];
    return value;
}

#endif
