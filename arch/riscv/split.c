/* See arch/split.h: the harts' slots, and what is written to them. */
#include "arch/split.h"
#include "arch/csr.h"
#include "arch/hart.h"
#include "arch/paging.h"
#include "arch_private.h"
#include "offsets.h"

struct split_slot {
    uint64_t kernel_satp, user_satp;
    uint64_t context; /* of the program; user_entry.S */
    uint64_t a0, a1; /* the program's, on the way in and out */
    uint64_t kernel_entry; /* where the kernel goes on */
    uint64_t user_entry,
        user_exit; /* in the trampoline, as U-mode and the kernel see it: stvec, and the way out */
};

/* All harts' slots are in every table, a line each. */
static struct split_slot slots[HART_MAX] __attribute__((aligned(PAGE_BYTES)));

_Static_assert(sizeof(slots) == PAGE_BYTES, "a page that has nothing else");
_Static_assert(sizeof(struct split_slot) == CACHE_LINE_BYTES, "no hart writes to another's line");
_Static_assert(offsetof(struct split_slot, kernel_satp) == SPLIT_SLOT_KERNEL_SATP, "trampoline.S");
_Static_assert(offsetof(struct split_slot, user_satp) == SPLIT_SLOT_USER_SATP, "trampoline.S");
_Static_assert(offsetof(struct split_slot, context) == SPLIT_SLOT_CONTEXT, "user_entry.S");
_Static_assert(offsetof(struct split_slot, a0) == SPLIT_SLOT_A0, "trampoline.S");
_Static_assert(offsetof(struct split_slot, a1) == SPLIT_SLOT_A1, "trampoline.S");
_Static_assert(offsetof(struct split_slot, kernel_entry) == SPLIT_SLOT_KERNEL_ENTRY, "trampoline.S");
_Static_assert(offsetof(struct split_slot, user_entry) == SPLIT_SLOT_USER_ENTRY, "user_entry.S");
_Static_assert(offsetof(struct split_slot, user_exit) == SPLIT_SLOT_USER_EXIT, "user_entry.S");

extern const char trampoline[], trampoline_entry[], trampoline_entry_flush[], trampoline_exit[],
    trampoline_exit_flush[], user_entry_split[];

static uint64_t in_trampoline(const char *code)
{
    return TRAMPOLINE_BASE + (uint64_t)(code - trampoline);
}

const void *split_text(void)
{
    return trampoline;
}

const void *split_slots(void)
{
    return slots;
}

void split_enter(pfn_t root, uint16_t asid, bool flush)
{
    slots[hart_index()] = (struct split_slot){
        .kernel_satp = csr_read(satp),
        .user_satp = paging_satp_of(root, asid),
        .context = slots[hart_index()].context, /* of the program that this may have interrupted */
        .kernel_entry = (uint64_t)user_entry_split,
        .user_entry = in_trampoline(flush ? trampoline_entry_flush : trampoline_entry),
        .user_exit = in_trampoline(flush ? trampoline_exit_flush : trampoline_exit),
    };
    arch_hart_self()->user_slot = (struct split_slot *)TRAMPOLINE_SLOTS + hart_index();
}

void split_leave(void)
{
    arch_hart_self()->user_slot = NULL;
}

pfn_t split_root(void)
{
    return arch_hart_self()->user_slot ? paging_root_of(slots[hart_index()].user_satp) : paging_root();
}

void split_forget_flush(void)
{
    if (arch_hart_self()->user_slot)
        slots[hart_index()].user_exit = in_trampoline(trampoline_exit);
}
