/*
 * Symbol look-up in the table that the second link embeds (tools/ksyms), and backtraces by frame pointers:
 * a frame's return address lies at fp − 8 and its caller's frame pointer at fp − 16. A leaf function saves
 * no return address and has its caller's frame pointer at fp − 8.
 */
#include "arch/symbols.h"
#include "arch/console.h"
#include "arch/image.h"

extern const uint32_t ksyms_count;
extern const uint32_t ksyms_offset[]; /* from _text, ascending */
extern const uint32_t ksyms_name[]; /* into ksyms_strings */
extern const char ksyms_strings[];

/* No call chain of this kernel is deeper; a loop in corrupted frames ends. */
#define BACKTRACE_FRAMES_MAX 32

static bool in_text(uint64_t address)
{
    return address >= (uint64_t)_text && address < (uint64_t)_etext;
}

const char *symbol_find(uint64_t address, uint64_t *offset)
{
    uint32_t low = 0, high = ksyms_count;
    if (!in_text(address) || high == 0)
        return NULL;
    uint32_t wanted = (uint32_t)(address - (uint64_t)_text);
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (ksyms_offset[middle] <= wanted)
            low = middle;
        else
            high = middle;
    }
    if (ksyms_offset[low] > wanted)
        return NULL;
    *offset = wanted - ksyms_offset[low];
    return &ksyms_strings[ksyms_name[low]];
}

/* @back: 1 for a return address, which lies behind its call: behind the call of a function that never returns
 * another function may begin. */
static void print_frame(unsigned number, uint64_t pc, unsigned back)
{
    uint64_t offset;
    const char *name = symbol_find(pc - back, &offset);
    if (name)
        console_format("  #%u %#018lx %s+%#lx\n", number, pc, name, offset + back);
    else
        console_format("  #%u %#018lx\n", number, pc);
}

void backtrace_print(uint64_t pc, uint64_t return_address, uint64_t frame_pointer, uint64_t stack_base)
{
    uint64_t fp = frame_pointer, stack_end = stack_base + HART_STACK_BYTES;
    print_frame(0, pc, return_address == 0);
    for (unsigned number = 1; number < BACKTRACE_FRAMES_MAX; number++) {
        if (fp < stack_base + 16 || fp > stack_end || fp % 8 != 0)
            break;
        uint64_t caller = ((const uint64_t *)fp)[-1];
        uint64_t next = ((const uint64_t *)fp)[-2];
        if (number == 1 && !in_text(caller)) { /* the innermost is a leaf: its caller is still in ra */
            next = caller;
            caller = return_address;
        }
        if (!in_text(caller))
            break;
        print_frame(number, caller, 1);
        if (next <= fp)
            break;
        fp = next;
    }
}
