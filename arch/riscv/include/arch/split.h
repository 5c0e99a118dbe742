/*
 * U-mode on a page table without the kernel: satp is switched at every trap from it and before every return to it, by
 * the trampoline, a page of code at the same address in all tables (arch/riscv/trampoline.S). Beside it, on one page of data, each
 * hart has a slot of one line with what the code there needs: the two values of satp, and where the kernel goes on.
 *
 * A hart that has no slot in use enters U-mode by the way that changes no satp, and none of its traps asks which it is.
 */
#ifndef ARCH_SPLIT_H
#define ARCH_SPLIT_H

#include "arch/addr.h"
#include "lib/base.h"

/** split_text, split_slots - the trampoline's two pages, to be mapped at TRAMPOLINE_BASE and TRAMPOLINE_SLOTS. */
const void *split_text(void);
const void *split_slots(void);

/**
 * split_enter - from now on U-mode on this hart walks another table; the kernel the one that it has now (paging_enter() comes
 * first). @flush: there are no ASIDs; each switch forgets all but what is global
 */
void split_enter(pfn_t root, uint16_t asid, bool flush);

/** split_leave - U-mode walks the kernel's table again. */
void split_leave(void);

/** split_root - the root that U-mode walks on this hart. */
pfn_t split_root(void);

/** split_forget_flush - plant split.noflush: the next return to U-mode comes without a flush. */
void split_forget_flush(void);

#endif
