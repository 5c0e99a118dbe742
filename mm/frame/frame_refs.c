/* The parts of references to frames that are not on the path of a frame with one owner; see frame_refs.h. */
#include "mm/frame/frame_refs.h"
#include "arch/atomic.h"
#include "arch/console.h"
#include "trace/inject.h"

_Static_assert(sizeof(_Atomic uint32_t) == 4, "as said of the memory it takes");

size_t frame_refs_bytes(size_t nframes)
{
    return nframes * sizeof(_Atomic uint32_t);
}

void frame_refs_init(struct frame_refs *refs, struct frame_allocator *fa, void *counts)
{
    *refs = (struct frame_refs){.fa = fa, .base = fa->base.value, .nframes = fa->nframes, .extra = counts};
    /* Relaxed: nobody else has it yet. sw. */
    for (size_t i = 0; i < refs->nframes; i++)
        store_relaxed(&refs->extra[i], 0u);
}

int frame_get_refused(_Atomic uint32_t *extra)
{
    /* Relaxed: takes back what nobody has relied on. The caller's own reference is still counted, so it can
     * not be what makes the count 0 for anybody. amoadd.w. */
    atomic_fetch_sub_explicit(extra, 1, memory_order_relaxed);
    return ERR_STATE;
}

/* A put that found the block shared. Returns whether it was the last all the same. */
bool frame_put_shared(_Atomic uint32_t *extra)
{
    if (plant_due(PLANT_REFS_LOST))
        return false;
    /* Release: what this owner did to the block happens before the put that frees it, or before another owner
     * that is left alone writes to it. Acquire, for the case that this is the last: pairs with the same
     * of all the others. amoadd.w.aqrl. */
    uint32_t before = atomic_fetch_sub_explicit(extra, 1, memory_order_acq_rel);
    if (likely(before != 0) && !plant_due(PLANT_REFS_TWICE))
        return false;
    /* Relaxed: nobody looks at the count before the block's next owner has it, which is ordered by the allocator.
     * sw. */
    store_relaxed(extra, 0u);
    return true;
}

int frame_refs_validate(struct frame_refs *refs, uint64_t extra)
{
    uint64_t found = 0;
    for (size_t i = 0; i < refs->nframes; i++) {
        /* Relaxed: the harts are quiet. lw. */
        uint32_t count = atomic_load_explicit(&refs->extra[i], memory_order_relaxed);
        if (count > FRAME_EXTRA_MAX) {
            console_format("frame: %s: the references to frame %#llx are %u below one\n", refs->fa->name,
                (unsigned long long)pfn_to_paddr(PFN(refs->base + i)).value, 0u - count);
            return ERR_CORRUPT;
        }
        found += count;
    }
    if (found == extra)
        return 0;
    console_format("frame: %s: %llu references beyond the first are counted and %llu held\n", refs->fa->name,
        (unsigned long long)found, (unsigned long long)extra);
    return ERR_CORRUPT;
}

void frame_refs_describe(const struct frame_refs *refs, struct parts *parts)
{
    parts_add(parts, "references", refs->extra, frame_refs_bytes(refs->nframes));
}
