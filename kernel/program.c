/* See program.h. What a program finds on its stack: System V ABI, RISC-V ELF psABI 1.0, and getauxval(3) of Linux. */
#include "kernel/program.h"
#include "arch/clock.h"
#include "kernel/errno.h"
#include "kernel/initrd.h"
#include "kernel/sched.h"
#include "lib/elf.h"
#include "lib/error.h"
#include "lib/rng.h"
#include "lib/string.h"
#include "mm/kmalloc.h"

/* Linux's default limit. */
#define STACK_BYTES 0x800000ul

/* Where a program that may lie anywhere is put. */
#define RELOCATABLE_BASE USER_BASE

enum auxiliary {
    AT_NULL = 0,
    AT_PHDR = 3,
    AT_PHENT = 4,
    AT_PHNUM = 5,
    AT_PAGESZ = 6,
    AT_BASE = 7,
    AT_FLAGS = 8,
    AT_ENTRY = 9,
    AT_UID = 11,
    AT_EUID = 12,
    AT_GID = 13,
    AT_EGID = 14,
    AT_HWCAP = 16, /* bit i: the extension with the i-th letter */
    AT_CLKTCK = 17,
    AT_SECURE = 23,
    AT_RANDOM = 25,
};

#define HWCAP_IMAFDC (1 << 8 | 1 << 12 | 1 << 0 | 1 << 5 | 1 << 3 | 1 << 2)

/* The top of the stack as it will be. */
struct stack_top {
    union {
        uint64_t words[(PROGRAM_ARGUMENT_BYTES + 1024) / sizeof(uint64_t)];
        char bytes[PROGRAM_ARGUMENT_BYTES + 1024];
    };
    size_t nwords; /* from the bottom up */
    size_t text; /* offset of the lowest string, from the top down */
};

static uint64_t segment_rights(const struct elf_segment *segment)
{
    return (segment->readable ? PTE_R : 0) | (segment->writable ? PTE_W | PTE_R : 0) |
           (segment->executable ? PTE_X : 0);
}

static int load_segment(
    struct space *space, const uint8_t *file, const struct elf_segment *segment, uint64_t moved)
{
    uint64_t address = segment->address + moved;
    uint64_t first = ALIGN_DOWN(address, (uint64_t)PAGE_BYTES);
    uint64_t end = ALIGN_UP(address + segment->memory_bytes, (uint64_t)PAGE_BYTES);
    vaddr_t at = VADDR(first);
    int error = space_map(space, &at, end - first, PTE_R | PTE_W, SPACE_NOREPLACE);
    if (!error && segment->file_bytes > 0)
        error = space_write(space, VADDR(address), file + segment->offset, segment->file_bytes);
    return error ? error : space_protect(space, VADDR(first), end - first, segment_rights(segment));
}

static void push(struct stack_top *top, uint64_t word)
{
    top->words[top->nwords++] = word;
}

static void push_pair(struct stack_top *top, enum auxiliary key, uint64_t value)
{
    push(top, key);
    push(top, value);
}

/* Returns its address. */
static uint64_t push_text(struct stack_top *top, const void *bytes, size_t count)
{
    top->text -= count;
    memcpy(&top->bytes[top->text], bytes, count);
    return USER_STACKS_END - sizeof(top->bytes) + top->text;
}

static void push_auxiliary(struct stack_top *top, const struct elf *elf, uint64_t moved, uint64_t random)
{
    push_pair(top, AT_PHDR, elf->headers ? elf->headers + moved : 0);
    push_pair(top, AT_PHENT, ELF_HEADER_BYTES);
    push_pair(top, AT_PHNUM, elf->nheaders);
    push_pair(top, AT_PAGESZ, PAGE_BYTES);
    push_pair(top, AT_BASE, 0);
    push_pair(top, AT_FLAGS, 0);
    push_pair(top, AT_ENTRY, elf->entry + moved);
    push_pair(top, AT_UID, 0);
    push_pair(top, AT_EUID, 0);
    push_pair(top, AT_GID, 0);
    push_pair(top, AT_EGID, 0);
    push_pair(top, AT_HWCAP, HWCAP_IMAFDC);
    push_pair(top, AT_CLKTCK, 100);
    push_pair(top, AT_SECURE, 0);
    push_pair(top, AT_RANDOM, random);
    push_pair(top, AT_NULL, 0);
}

static size_t argument_bytes(unsigned argc, const char *const *argv)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < argc; i++)
        bytes += strlen(argv[i]) + 1;
    return bytes;
}

/* Words at the stack pointer, strings at the very top. @sp: where the words begin. */
static int make_stack(struct space *space, const struct elf *elf, uint64_t moved, unsigned argc,
    const char *const *argv, uint64_t *sp)
{
    struct stack_top *top = kzalloc(sizeof(*top));
    vaddr_t at = VADDR(USER_STACKS_END - STACK_BYTES);
    uint64_t addresses[PROGRAM_ARGUMENTS], random[2];
    struct rng rng;
    if (!top)
        return ERR_NO_MEMORY;
    top->text = sizeof(top->bytes);
    rng_seed(&rng, time_now(), 0);
    random[0] = rng_next(&rng);
    random[1] = rng_next(&rng);
    uint64_t random_at = push_text(top, random, sizeof(random));
    for (unsigned i = 0; i < argc; i++)
        addresses[i] = push_text(top, argv[i], strlen(argv[i]) + 1);
    push(top, argc);
    for (unsigned i = 0; i < argc; i++)
        push(top, addresses[i]);
    push(top, 0);
    push(top, 0); /* no environment */
    push_auxiliary(top, elf, moved, random_at);

    size_t used = top->nwords * sizeof(uint64_t);
    uint64_t text_at = USER_STACKS_END - sizeof(top->bytes) + top->text;
    *sp = ALIGN_DOWN(text_at - used, 16ul);
    int error = space_map(space, &at, STACK_BYTES, PTE_R | PTE_W, SPACE_NOREPLACE);
    if (!error)
        error = space_write(space, VADDR(text_at), &top->bytes[top->text], sizeof(top->bytes) - top->text);
    if (!error)
        error = space_write(space, VADDR(*sp), top->words, used);
    kfree(top);
    return error;
}

static int load(
    struct family *family, const uint8_t *file, const struct elf *elf, unsigned argc, const char *const *argv)
{
    struct process *process = family->root;
    uint64_t moved = elf->relocatable ? RELOCATABLE_BASE - elf->low : 0, sp = 0;
    int error = 0;
    for (unsigned i = 0; i < elf->nsegments && !error; i++)
        error = load_segment(process->space, file, &elf->segments[i], moved);
    if (!error)
        error = make_stack(process->space, elf, moved, argc, argv, &sp);
    long unused;
    struct thread *thread = error ? NULL : thread_new(process, &unused);
    if (!thread)
        return error ? error : ERR_NO_MEMORY;
    user_context_init(&thread->context, elf->entry + moved, sp);
    thread_add(thread);
    return 0;
}

struct family *program_load_file(
    const void *file, size_t bytes, unsigned argc, const char *const *argv, struct writer *why)
{
    if (argc == 0 || argc > PROGRAM_ARGUMENTS || argument_bytes(argc, argv) > PROGRAM_ARGUMENT_BYTES) {
        writer_format(why, "more than %d arguments, or longer ones than %d bytes", PROGRAM_ARGUMENTS,
            PROGRAM_ARGUMENT_BYTES);
        return NULL;
    }
    struct elf *elf = kmalloc(sizeof(*elf));
    if (!elf) {
        writer_format(why, "no memory for a program");
        return NULL;
    }
    struct family *family = NULL;
    if (elf_open(elf, file, bytes, USER_BASE, USER_HEAP_BASE, why) == 0) {
        family = family_create(argv[0]);
        int error = family ? load(family, file, elf, argc, argv) : ERR_NO_MEMORY;
        if (error) {
            writer_format(why, "%s does not load: %s", argv[0], error_text(error));
            if (family)
                family_destroy(family);
            family = NULL;
        }
    }
    kfree(elf);
    return family;
}

struct family *program_load(const char *name, unsigned argc, const char *const *argv, struct writer *why)
{
    size_t bytes;
    const void *file = initrd_find(name, &bytes);
    if (!file) {
        writer_format(why, "there is no program '%s' in the initrd", name);
        return NULL;
    }
    return program_load_file(file, bytes, argc, argv, why);
}

int program_run(unsigned argc, const char *const *argv, int *status, struct writer *why)
{
    struct family *family = program_load(argv[0], argc, argv, why);
    if (!family)
        return ERR_NOT_FOUND;
    int error = family_run(family);
    if (error) {
        writer_format(why, "%s has paused, and nobody resumes it", argv[0]);
        family_kill(family);
        error = family_run(family);
    }
    *status = family->root->status;
    family_destroy(family);
    return error;
}
