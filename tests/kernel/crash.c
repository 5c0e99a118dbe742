/* `crash=KIND`: runs that have to end badly, each in a way of its own; tests/e2e/test_boot_crash.py looks at the end. */
#include "arch/console.h"
#include "arch/model.h"
#include "arch/panic.h"
#include "kernel/config.h"
#include "lib/error.h"
#include "lib/string.h"
#include "mm/memory.h"
#include "smp/call.h"
#include "smp/lock.h"

static void panics(void)
{
    panic("on purpose");
}

static void faults(void)
{
    __asm__ volatile("ld zero, 8(zero)" ::: "memory");
}

/* Frames of a size that a deep call chain has. */
static NOINLINE uint64_t recurses(volatile uint64_t *above)
{
    volatile uint64_t own[16];
    own[0] = *above + 1;
    return own[0] ? recurses(own) + own[0] : 0; /* the end would come after 2^64 of them */
}

static void overflows(void)
{
    volatile uint64_t start = 0;
    recurses(&start);
}

static void writes_text(void)
{
    *(volatile uint32_t *)writes_text = 0;
}

static void executes_data(void)
{
    static uint32_t code = 0x8067; /* ret */
    void *address = &code;
    void (*function)(void);
    memcpy(&function, &address, sizeof(function));
    function();
}

static void loses_its_stack(void)
{
    __asm__ volatile("li sp, 64\n sd zero, 0(sp)" ::: "memory");
}

/* The report needs memory that is not there. */
static void faults_while_panicking(void)
{
    panic("%s", (const char *)8);
}

/* As by a translation that a hart should have forgotten. */
static void writes_freed_frame(void)
{
    pfn_t pfn = frame_alloc(&kernel_frames, 0, 0);
    frame_free(&kernel_frames, pfn, 0);
    *(volatile uint64_t *)((char *)pfn_to_direct(pfn) + 72) = 7;
    frame_drain(&kernel_frames);
}

static void crash_among_talkers(void *unused);

/* Every hart waits for a lock that is never given back. Without a model this hangs. */
static void deadlock(void *unused)
{
    static struct lock never_free = {.ops = &lock_ticket, .ticket = {.next = 1}};
    struct lock_node node;
    (void)unused;
    model_enter(hart_count());
    lock_acquire(&never_free, &node);
}

static const struct kind {
    const char *name;
    void (*together)(void *unused); /* what every hart does */
    void (*crash)(void); /* what the last one does among talkers */
} kinds[] = {
    {"panic", crash_among_talkers, panics},
    {"fault", crash_among_talkers, faults},
    {"nested", crash_among_talkers, faults_while_panicking},
    {"overflow", crash_among_talkers, overflows},
    {"stack", crash_among_talkers, loses_its_stack},
    {"text", crash_among_talkers, writes_text},
    {"data", crash_among_talkers, executes_data},
    {"freed", crash_among_talkers, writes_freed_frame},
    {"deadlock", deadlock, NULL},
};

static const struct kind *chosen;

static const char *kind_name_at(size_t i)
{
    return i < ARRAY_SIZE(kinds) ? kinds[i].name : NULL;
}

static int apply_crash(const char *value, struct writer *why)
{
    size_t which;
    int error = config_apply_index(value, kind_name_at, &which, why);
    if (!error)
        chosen = &kinds[which];
    return error;
}

/* The last hart crashes while all the others have something to say. */
static void crash_among_talkers(void *unused)
{
    (void)unused;
    if (hart_index() == hart_count() - 1)
        chosen->crash();
    for (;;)
        console_format("hart %u talks\n", hart_index());
}

static int run_crash(void)
{
    smp_call(hart_mask_first(hart_count()), chosen->together, NULL);
    return ERR_STATE;
}

CONFIG_KEY(crash_key, .name = "crash",
    .valid = "panic, fault, nested, overflow, stack, text, data, freed or deadlock", .initial = "panic",
    .apply = apply_crash, .run = run_crash);
