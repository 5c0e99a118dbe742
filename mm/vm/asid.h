/*
 * Address-space identifiers: numbers by which a hart's TLB tells spaces apart, so that a switch flushes nothing. There are fewer of
 * them than spaces come and go, and a number may be used again only when no hart remembers translations under it. So numbers
 * are handed out in generations: when none is left a new generation begins, in which each hart flushes everything
 * when it next switches; a space that a hart is in keeps its number.
 * Source: the scheme of Linux on ARM (W. Deacon, "ARM: mm: ASID rework", 2012), there in arch/arm64/mm/context.c.
 */
#ifndef MM_VM_ASID_H
#define MM_VM_ASID_H

#include <stdatomic.h>

#include "lib/base.h"

/* A space's number and the generation that it is of: generation << 16 | number; 0: it has none yet. */
typedef _Atomic uint64_t asid_context_t;

/* 0 is the kernel's own, and the last is no space's (FLUSH_EVERY_ASID). */
#define ASID_KERNEL 0

/**
 * asid_init - numbers of so many bits, 0 … 16, from now on; no space has one. Where there are not enough for so many harts, there are
 * none.
 * Harts are quiet, and forget all translations before one enters a space.
 * @pairs: only even numbers are given; the one behind each is the space's, too (split=separate)
 */
void asid_init(unsigned bits, bool pairs, unsigned nharts);

/** asid_available - whether spaces can have numbers. */
bool asid_available(void);

/**
 * asid_enter - the number under which this hart will use a space from now on, in place of the one that it used.
 * @flush: becomes whether the hart must forget all translations, but for those of all spaces, before it uses it
 *
 * Interrupts may be on. No lock is held; takes one of its own when a space is new, or of an older generation.
 */
uint16_t asid_enter(asid_context_t *context, bool *flush);

/** asid_of - the number by which harts that are in the space know it, ASID_KERNEL while it has none. */
static inline uint16_t asid_of(const asid_context_t *context)
{
    /* Relaxed: a hart that joins with another number flushes then, and sees what was changed before. ld. */
    return (uint16_t)atomic_load_explicit(context, memory_order_relaxed);
}

/** asid_rollovers - how many generations have begun since asid_init(). */
uint64_t asid_rollovers(void);

#endif
