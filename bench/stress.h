/* What the parts of the stress run share: stress.c has the slices, stress_hands.c what a hart does in one, stress_heap.c
 * the same for heaps, stress_vm.c for virtual memory,
 * stress_watch.c looks for translations that outlive their pages. */
#ifndef BENCH_STRESS_H
#define BENCH_STRESS_H

#include <stdatomic.h>

#include "lib/base.h"
#include "lib/rng.h"
#include "mm/frame/frame_refs.h"
#include "mm/heap/heap.h"
#include "mm/vm/vm_design.h"
#include "trace/inject.h"

/* Small enough to be exhausted many times a second, and not a multiple of 64, so that the bitmaps have a tail. */
#define STRESS_FRAMES_MAX 8155

/* Places where harts leave a block and take what another left. */
#define EXCHANGE_PLACES 64

enum slice_kind {
    SLICE_MIXED, /* orders 0 to 10 */
    SLICE_BRIM, /* single frames, never more asked for than there are: no allocation may fail */
    SLICE_EXHAUST, /* single frames, as many as can be had */
    SLICE_SHARE, /* blocks of all orders that several harts hold */
    SLICE_HEAP_SMALL, /* of a heap: blocks of up to half a KiB */
    SLICE_HEAP_MIXED, /* of a heap: blocks of up to a MiB, until there is no memory */
    SLICE_VM_SHARED, /* of virtual memory: all harts in one space */
    SLICE_VM_OWN, /* of virtual memory: each in its own */
    SLICE_VM_WATCHED, /* of virtual memory: in one space, which one changes, and the others look */
    SLICE_KINDS
};

#define SLICE_HEAP_FIRST SLICE_HEAP_SMALL /* those before are of frame allocators */
#define SLICE_VM_FIRST   SLICE_VM_SHARED

/* A block in one word. Of a heap, its address. Of a frame allocator: frame number from the arena's base, order, and a tag that makes each time that the same
 * block is held another. Bit 63 tells a block from nothing. */
typedef uint64_t block_t;

#define BLOCK_PRESENT (1ull << 63)

struct stress_hart {
    struct rng rng;
    block_t *held;
    size_t count;
    size_t to_free; /* steps that free before it allocates again */
    uint64_t operations, checks;
} CACHE_ALIGNED;

struct stress {
    struct frame_allocator arena;
    struct heap heap; /* on the arena, in slices of heaps */
    const char *subject, *lock; /* names of what is under stress */
    struct frame_refs refs; /* to the arena's blocks */
    void *counts;
    enum slice_kind kind;
    uint64_t slice;
    uint64_t seed;
    uint64_t seconds;
    enum plant planted; /* in check builds */
    uint64_t end, slice_end, slice_length; /* of `time` */
    size_t variants, heaps,
        vms; /* frame allocators, heaps and designs of virtual memory that had all slices; each design
                                  * is in the first few */
    _Atomic uint64_t asked_for; /* frames held or being asked for; SLICE_BRIM keeps it within the arena */
    _Atomic uint32_t failures;
    _Atomic block_t exchange[EXCHANGE_PLACES];
    struct stress_hart harts[HART_MAX];
};

extern struct stress stress;

/* What the harts hold by their own account, blocks left in exchange included. */
struct stress_account {
    size_t frames; /* of blocks held, each counted once */
    size_t extra; /* references beyond the first */
    uint64_t seen[DIV_CEIL(STRESS_FRAMES_MAX, 64)]; /* by frame from the arena's base: a block begins there */
};

/** stress_fail - note a failure; the first few are told. Any hart. */
void stress_fail(const char *format, ...) PRINTF_LIKE(1, 2);

/** stress_step - the next thing that a hart does in a slice. @bits: random */
void stress_step(struct stress_hart *hart, uint64_t bits);

/** stress_drop - check a block that was held by anybody and give it up, as the slice's kind does. */
void stress_drop(struct stress_hart *hart, block_t block);

/** stress_heap_make - a heap on the arena. stress_heap_step, stress_heap_drop, stress_heap_inspect - a step, the end of a
 *  block, and a look at the quiet heap, as those of frames. */
void stress_heap_make(const struct heap_ops *heap, const struct lock_ops *lock);
void stress_heap_step(struct stress_hart *hart, uint64_t bits);
void stress_heap_drop(struct stress_hart *hart, block_t block);
void stress_heap_inspect(void);

/** stress_vm_prepare, stress_vm_finish - memory for the slices of virtual memory, and its end. 0 or ERR_NO_MEMORY.
 *  stress_vm_open, stress_vm_close - spaces of a design have their frames from the arena from now on; none is left, and all
 *  frames are back. stress_vm_make, stress_vm_drop - the spaces of a slice. Boot hart, the others are quiet. */
int stress_vm_prepare(void);
void stress_vm_finish(void);
void stress_vm_open(const struct vm_design *design);
void stress_vm_close(void);
void stress_vm_make(void);
void stress_vm_drop(void);
void stress_vm_inspect(void);

/** stress_vm_begin, stress_vm_end - around a hart's steps; stress_vm_step - one. */
void stress_vm_begin(void);
void stress_vm_end(void);
void stress_vm_step(struct stress_hart *hart, uint64_t bits);

/** stress_vm_writer - who can have written a word, and where (@vaddr): a hart, or HART_MAX. */
unsigned stress_vm_writer(uint32_t word, uint64_t *vaddr);

/** stress_watch_prepare, stress_watch_finish - memory for the quarantine of the arena's frames, and its end. 0 or ERR_NO_MEMORY.
 *  stress_watch_open, stress_watch_close - frames that are freed wait in it; the harts are quiet. */
int stress_watch_prepare(void);
void stress_watch_finish(void);
void stress_watch_open(void);
void stress_watch_close(void);

/** stress_watch_begin - this hart has had nothing mapped so far. stress_watch_note - it has, and read there. */
void stress_watch_begin(void);
void stress_watch_note(uint64_t vaddr);

/** stress_watch_word - a word that was read, of whomever: whether it is of a frame in quarantine, which is a failure. */
bool stress_watch_word(uint64_t vaddr, uint32_t word);

/** stress_watch_round - touch all that the hart has had mapped. */
void stress_watch_round(struct stress_hart *hart);

/** stress_watch_step - between two steps: a round through what the hart has had mapped, if it is time for one. Whether there is room for
 *  more frames in quarantine; if not, the hart has nothing to do but rounds. */
bool stress_watch_step(struct stress_hart *hart);

/** stress_make_account - what the harts hold. They are quiet. */
void stress_make_account(struct stress_account *account);

#endif
