/*
 * The global bitmap of frames under the designs "bitmap" and "hartcache". Not locked: each design has a lock
 * around it. Frames are named by their index in the arena.
 *
 * Two bits a frame, in two arrays of words: `taken`, and `head`, set on the first frame of each block that
 * was given out. A block therefore ends where the next head or free frame begins, which makes every wrong
 * free visible: a second one, one with another order, one of an address inside a block.
 */
#ifndef MM_FRAME_BITMAP_CORE_H
#define MM_FRAME_BITMAP_CORE_H

#include "lib/base.h"
#include "lib/parts.h"

#define BITMAP_NONE UINT32_MAX

struct bitmap_core {
    uint64_t *taken;
    uint64_t *head;
    uint32_t nframes;
    uint32_t nwords;
    uint32_t nfree;
    uint32_t hint; /* the word where the next search begins: where the last block was taken or given back */
};

/** bitmap_core_bytes - memory for the two arrays, a multiple of 8. */
size_t bitmap_core_bytes(size_t nframes);

/** bitmap_core_init - all frames free. @memory: bitmap_core_bytes(nframes), 8-byte aligned; nframes > 0. */
void bitmap_core_init(struct bitmap_core *core, void *memory, size_t nframes);

/** bitmap_core_take - a free block of 2^order frames, naturally aligned; BITMAP_NONE if there is none. */
uint32_t bitmap_core_take(struct bitmap_core *core, unsigned order);

/** bitmap_core_give - free a block that bitmap_core_holds(). */
void bitmap_core_give(struct bitmap_core *core, uint32_t index, unsigned order);

/**
 * bitmap_core_take_singles - up to n <= 64 blocks of one frame; fewer only when no more are free.
 * A whole free word is preferred for n == 64: that costs one load and one store, and its frames are 256 KiB
 * of consecutive memory whose states share cache lines with no other hart's.
 */
unsigned bitmap_core_take_singles(struct bitmap_core *core, uint32_t *indices, unsigned n);

/** bitmap_core_give_singles - free n blocks of one frame; runs of frames of one word cost one store. */
void bitmap_core_give_singles(struct bitmap_core *core, const uint32_t *indices, unsigned n);

/** bitmap_core_holds - whether exactly this block is taken. In range and aligned to its size. */
bool bitmap_core_holds(const struct bitmap_core *core, uint32_t index, unsigned order);

/** bitmap_core_block_of - the head of the block that a frame belongs to; BITMAP_NONE for a free frame. */
uint32_t bitmap_core_block_of(const struct bitmap_core *core, uint32_t index);

/** bitmap_core_validate - recount from the words. 0, or ERR_CORRUPT with the finding on the console. */
int bitmap_core_validate(const struct bitmap_core *core);

/** bitmap_core_describe - name the counts and the words. */
void bitmap_core_describe(const struct bitmap_core *core, struct parts *parts);

#endif
