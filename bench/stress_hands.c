/*
 * What one hart does in a slice of the stress run: takes blocks, marks them, passes them on, shares them, writes to
 * shared ones, and gives them up with the marks checked. Trusts no allocator.
 */
#include "bench/stress.h"
#include "lib/bits.h"
#include "lib/string.h"
#include "smp/hart.h"

/* Blocks that a hart holds at most in a slice that is not about single frames. */
#define MIXED_BLOCKS 64

static block_t block_make(uint64_t frame, unsigned order, uint64_t tag)
{
    return BLOCK_PRESENT | (tag & 0xffff) << 40 | (uint64_t)order << 36 | frame;
}

static unsigned block_order(block_t block)
{
    return block >> 36 & 15;
}

static uint64_t block_frame(block_t block)
{
    return block & 0xfffffffff;
}

/* Eight words of every frame of a block: at the start of each 512 bytes, so that no large part is unwatched. */
#define PATTERN_STRIDE 512

static uint64_t pattern(block_t block, uint64_t offset)
{
    return (block ^ offset) * 0x9e3779b97f4a7c15ull;
}

static pfn_t block_pfn(block_t block)
{
    return pfn_add(stress.arena.base, block_frame(block));
}

static uint64_t *pattern_word(block_t block, uint64_t offset)
{
    return (uint64_t *)((uint8_t *)pfn_to_direct(block_pfn(block)) + offset);
}

static void pattern_write(block_t block)
{
    for (uint64_t at = 0; at < (uint64_t)PAGE_BYTES << block_order(block); at += PATTERN_STRIDE)
        *pattern_word(block, at) = pattern(block, at);
}

static void pattern_check(struct stress_hart *hart, block_t block)
{
    for (uint64_t at = 0; at < (uint64_t)PAGE_BYTES << block_order(block); at += PATTERN_STRIDE) {
        uint64_t found = *pattern_word(block, at);
        if (found != pattern(block, at)) {
            stress_fail("frame %#lx (order %u) was given twice: at +%#lx stands %#lx, %#lx was written",
                pfn_to_paddr(pfn_add(stress.arena.base, block_frame(block))).value, block_order(block), at,
                found, pattern(block, at));
            break;
        }
    }
    hart->checks++;
}

void stress_drop(struct stress_hart *hart, block_t block)
{
    size_t frames = (size_t)1 << block_order(block);
    pattern_check(hart, block);
    hart->operations++;
    if (stress.kind != SLICE_SHARE)
        frame_free(&stress.arena, block_pfn(block), block_order(block));
    else if (!frame_put(&stress.refs, block_pfn(block), block_order(block)))
        return;
    /* Release, pairs with the acquire in take: the allocator has the frames back before the count says so. */
    atomic_fetch_sub_explicit(&stress.asked_for, frames, memory_order_release);
}

/* Returns whether there is a new block. */
static bool take(struct stress_hart *hart, unsigned order, uint64_t tag)
{
    size_t frames = (size_t)1 << order;
    /* Acquire, pairs with the release in drop: what is counted as returned can be allocated. */
    uint64_t asked = atomic_fetch_add_explicit(&stress.asked_for, frames, memory_order_acquire) + frames;
    bool allowed = stress.kind != SLICE_BRIM || asked <= stress.arena.nframes;
    pfn_t pfn = allowed ? frame_alloc(&stress.arena, order, 0) : PFN_NONE;
    if (pfn_is_none(pfn)) {
        atomic_fetch_sub_explicit(&stress.asked_for, frames, memory_order_relaxed);
        if (allowed && stress.kind == SLICE_BRIM)
            stress_fail("an allocation failed though at most %lu of %lu frames were in use", asked - 1,
                stress.arena.nframes);
        return false;
    }
    block_t block = block_make(pfn.value - stress.arena.base.value, order, tag);
    pattern_write(block);
    hart->held[hart->count++] = block;
    hart->operations++;
    return true;
}

/* Removes a random block from those held. */
static block_t pick(struct stress_hart *hart, uint64_t bits)
{
    size_t i = bits % hart->count;
    block_t block = hart->held[i];
    hart->held[i] = hart->held[--hart->count];
    return block;
}

/* Frees a random block, or, every other time, leaves it for another hart and frees what that one left. */
static void give(struct stress_hart *hart, uint64_t bits)
{
    block_t block = pick(hart, bits >> 20);
    if (bits >> 16 & 1) {
        _Atomic block_t *place = &stress.exchange[bits >> 8 & (EXCHANGE_PLACES - 1)];
        /* Acquire and release (amoswap.d.aqrl): the pattern travels with the block. */
        block = atomic_exchange_explicit(place, block, memory_order_acq_rel);
    }
    if (block)
        stress_drop(hart, block);
}

static void step_mixed(struct stress_hart *hart, uint64_t bits)
{
    bool full = hart->count == MIXED_BLOCKS;
    if (hart->count > 0 && (full || (bits & 1)))
        give(hart, bits);
    else
        take(hart, bits_lowest(bits >> 32 | 1ull << stress.arena.ops->order_max), bits >> 16);
}

/* Fills up, then empties by a random part, and again. */
static void step_singles(struct stress_hart *hart, uint64_t bits)
{
    bool full = hart->count == stress.arena.nframes;
    if (hart->to_free > 0 && hart->count > 0) {
        hart->to_free--;
        give(hart, bits);
    } else if (full || !take(hart, 0, bits >> 16)) {
        hart->to_free = hart->count ? bits % hart->count + 1 : 0;
    }
}

/* One more reference to a block, left for another hart; what that one left is ours. */
static void share(struct stress_hart *hart, uint64_t bits)
{
    block_t block = hart->held[(bits >> 20) % hart->count];
    if (frame_get(&stress.refs, block_pfn(block)))
        stress_fail("frame %#lx was refused one more reference", pfn_to_paddr(block_pfn(block)).value);
    /* Acquire and release, as in give. */
    block = atomic_exchange_explicit(
        &stress.exchange[bits >> 8 & (EXCHANGE_PLACES - 1)], block, memory_order_acq_rel);
    if (block)
        hart->held[hart->count++] = block;
    hart->operations++;
}

/* As a write fault of copy-on-write: in place when nobody else has the block, else into a new one. */
static void write(struct stress_hart *hart, uint64_t bits)
{
    block_t *place = &hart->held[(bits >> 20) % hart->count];
    if (!frame_is_exclusive(&stress.refs, block_pfn(*place))) {
        block_t block = *place;
        *place = hart->held[--hart->count];
        stress_drop(hart, block);
        take(hart, block_order(block), bits >> 16);
        return;
    }
    pattern_check(hart, *place);
    *place = block_make(block_frame(*place), block_order(*place), bits >> 16);
    pattern_write(*place);
    hart->operations++;
}

static void step_share(struct stress_hart *hart, uint64_t bits)
{
    unsigned what = hart->count == 0 ? 0 : bits & 7;
    if (what == 0 && hart->count < MIXED_BLOCKS)
        take(hart, bits_lowest(bits >> 32 | 1ull << stress.arena.ops->order_max), bits >> 16);
    else if (what < 4 && hart->count < MIXED_BLOCKS)
        share(hart, bits);
    else if (what < 6)
        write(hart, bits);
    else
        stress_drop(hart, pick(hart, bits >> 20));
}

void stress_step(struct stress_hart *hart, uint64_t bits)
{
    if (stress.kind == SLICE_MIXED)
        step_mixed(hart, bits);
    else if (stress.kind == SLICE_SHARE)
        step_share(hart, bits);
    else
        step_singles(hart, bits);
}

static void account_for(struct stress_account *account, block_t block)
{
    uint64_t *word = &account->seen[block_frame(block) / 64], bit = 1ull << block_frame(block) % 64;
    if (*word & bit)
        account->extra++;
    else
        account->frames += (size_t)1 << block_order(block);
    *word |= bit;
}

void stress_make_account(struct stress_account *account)
{
    memset(account, 0, sizeof(*account));
    for (unsigned i = 0; i < hart_count(); i++) {
        for (size_t k = 0; k < stress.harts[i].count; k++)
            account_for(account, stress.harts[i].held[k]);
    }
    for (size_t i = 0; i < EXCHANGE_PLACES; i++) {
        block_t block = atomic_load_explicit(&stress.exchange[i], memory_order_relaxed);
        if (block)
            account_for(account, block);
    }
}
