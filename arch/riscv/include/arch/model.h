/*
 * The kernel's side of the machine model (tools/model/): hints, which do nothing where no model listens, so whoever
 * measures gives them under every clock; and what the model answers.
 */
#ifndef ARCH_MODEL_H
#define ARCH_MODEL_H

#include "arch/hart.h"
#include "arch/model_page.h"
#include "lib/base.h"

/* Written by the model. */
extern struct model_page model_page;

/* Whether clock_now() is the model's; set by model_hello(). */
extern bool model_present;

#define MODEL_HINT(code) __asm__ volatile("slti x0, x0, %0" ::"i"(code) : "memory")

#define MODEL_HINT_WITH(code, value)                                                                         \
    do {                                                                                                     \
        register uint64_t hint_a0_ __asm__("a0") = (value);                                                  \
        __asm__ volatile("slti x0, x0, %1" ::"r"(hint_a0_), "i"(code) : "memory");                           \
    } while (0)

/** model_hello - ask whether a model of this kernel's version listens. Boot hart, once.
 *  Returns 0, ERR_NOT_FOUND for none, ERR_UNSUPPORTED for one of another version. */
int model_hello(void);

/** model_now - this hart's virtual time in cycles; inside a region. */
static inline uint64_t model_now(void)
{
    MODEL_HINT(MODEL_HINT_TIME);
    return *(volatile uint64_t *)&model_page.time[hart_index()].now;
}

/** model_label - what reports call the regions to come, until the next call; 0: they are not reported. Boot hart,
 *  between regions. */
static inline void model_label(uint64_t label)
{
    model_page.label = label;
}

/** model_enter - begin a region: wait until @nharts harts have called this, then run in virtual time from 0, with
 *  empty caches and TLBs. Interrupts on. */
static inline void model_enter(unsigned nharts)
{
    MODEL_HINT_WITH(MODEL_HINT_ENTER, nharts);
}

/** model_measure - this hart's statistics begin here. */
static inline void model_measure(void)
{
    MODEL_HINT(MODEL_HINT_MEASURE);
}

/** model_end - they end here, but the hart stays in the region, where it answers others' interrupts. */
static inline void model_end(void)
{
    MODEL_HINT(MODEL_HINT_END);
}

/** model_leave - they end here, unless they have, and the hart runs freely again. */
static inline void model_leave(void)
{
    MODEL_HINT(MODEL_HINT_LEAVE);
}

/** model_flushing - a shootdown begins: page-table entries have been written, and no hart has been asked to flush yet.
 *  @shootdown: tells it apart from others that are under way; its ticket. */
static inline void model_flushing(const void *shootdown)
{
    MODEL_HINT_WITH(MODEL_HINT_FLUSHING, (uintptr_t)shootdown);
}

/**
 * model_flushed - that shootdown has returned: from here on no hart may use what the entries of these pages said when it began.
 * The model looks into every hart's TLB, and reports the use of a translation that should be gone. Without a shootdown that
 * began, what the entries said until now.
 * @asid: MODEL_ASID_ALL: whatever the address space, and global ones.
 * @first, @end: as vaddr_to_page() counts. Those whose entries changed, and not what was flushed in their stead: what
 * others are about to flush is not to be gone yet.
 */
static inline void model_flushed(const void *shootdown, uint64_t asid, size_t first, size_t end)
{
    register uint64_t a1 __asm__("a1") = asid;
    register uint64_t a2 __asm__("a2") = first;
    register uint64_t a3 __asm__("a3") = end;
    register uint64_t a0 __asm__("a0") = (uintptr_t)shootdown;
    __asm__ volatile("slti x0, x0, %4" ::"r"(a0), "r"(a1), "r"(a2), "r"(a3), "i"(MODEL_HINT_FLUSHED)
                     : "memory");
}

/** model_stat_name - the statistic's name in results. */
const char *model_stat_name(enum model_stat stat);

/** model_stat_sum - over the harts 0 … nharts − 1, of their last region. */
uint64_t model_stat_sum(enum model_stat stat, unsigned nharts);

#endif
