/* SipHash-1-3 (Aumasson and Bernstein, 2012): a hash that needs its key to be predicted. */
#ifndef PYSIDCTX_SIPHASH_H
#define PYSIDCTX_SIPHASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SIPHASH_ROTATE(x, bits) ((x) << (bits) | (x) >> (64 - (bits)))

static inline void siphash_round(uint64_t v[4])
{
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

/* Words are taken in the machine's byte order: the result is for this process alone. */
static inline uint64_t siphash(const uint64_t key[2], const unsigned char *data, size_t length)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d,
                     key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573};
    uint64_t word, last = (uint64_t)length << 56;
    size_t i;

    for (i = 0; i + 8 <= length; i += 8) {
        memcpy(&word, data + i, 8);
        v[3] ^= word;
        siphash_round(v);
        v[0] ^= word;
    }
    for (; i < length; i++)
        last |= (uint64_t)data[i] << 8 * (i % 8);
    v[3] ^= last;
    siphash_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    siphash_round(v);
    siphash_round(v);
    siphash_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
