/*
 * The harts' TLBs, and how they are told to forget, in the machine's place: each hart of the shim keeps translations, tagged by ASID,
 * until it is flushed, and reaches user memory through them alone. An access is made under the lock of the hart's TLB, and a shootdown takes it,
 * so whatever a hart does by a translation happens before the shootdown returns: what ThreadSanitizer then still finds is
 * an access to a page that was given back too early.
 */
#ifndef TESTS_HOST_SHIM_TLB_H
#define TESTS_HOST_SHIM_TLB_H

#include "arch/pte.h"
#include "smp/shootdown.h"

/** tlb_load, tlb_store - a user's access to the word of 8 bytes at an address, on this hart, in the table that it has entered. Returns
 *  false for a page fault. */
bool tlb_load(vaddr_t vaddr, uint64_t *value);
bool tlb_store(vaddr_t vaddr, uint64_t value);

/** tlb_fetch - whether an instruction could be fetched there. */
bool tlb_fetch(vaddr_t vaddr);

/** tlb_reset - forget everything on all harts, as at power on. */
void tlb_reset(void);

/** tlb_lose - every n-th hart that is told by another forgets nothing; 0: all do. */
void tlb_lose(unsigned n);

/** tlb_told - how often a hart was told to forget by another. */
uint64_t tlb_told(void);

#endif
