/*
 * From the first line of C to the last: read the machine, configure, divide the memory, bring up the harts, do
 * what the configuration says, power off with its success or failure as the exit status.
 */
#include "arch/clock.h"
#include "arch/console.h"
#include "arch/image.h"
#include "arch/paging.h"
#include "arch/panic.h"
#include "arch/power.h"
#include "arch/sbi.h"
#include "kernel/config.h"
#include "kernel/futex.h"
#include "kernel/initrd.h"
#include "kernel/monitor.h"
#include "kernel/quarantine.h"
#include "kernel/record.h"
#include "kernel/shootdown_keys.h"
#include "kernel/sched.h"
#include "kernel/user_trap.h"
#include "kernel/version.h"
#include "lib/error.h"
#include "lib/machine.h"
#include "lib/string.h"
#include "mm/memory.h"
#include "mm/vm/kernel_map.h"
#include "mm/vm/kernel_spaces.h"
#include "smp/boot.h"
#include "smp/call.h"
#include "smp/hart.h"

/* More than QEMU's tree for 64 harts (under 64 KiB), and an end to what a broken header can claim. */
#define FDT_BYTES_MAX (1u << 20)

extern void kernel_main(uint64_t hart_id, uint64_t fdt_address); /* called by entry.S */

static struct machine machine;
static enum clock_kind chosen_clock;

static const char *clock_name_at(size_t i)
{
    return i <= CLOCK_MODEL ? clock_name((enum clock_kind)i) : NULL;
}

static int apply_clock(const char *value, struct writer *why)
{
    size_t which = CLOCK_HOST;
    int error = config_apply_index(value, clock_name_at, &which, why);
    chosen_clock = (enum clock_kind)which;
    return error;
}

CONFIG_KEY(clock_key, .name = "clock", .valid = "host or model", .initial = "host", .apply = apply_clock);

/* What the kernel itself runs on, as opposed to what it measures. Backoff rather than a queue: with more
 * harts than host cores a queue's turn may belong to a hart that the host does not run. */
static bool can_serve_kernel(const struct frame_allocator_ops *ops)
{
    return ops->order_max == FRAME_ORDER_MAX && ops->finds_every_block;
}

/* The kernel asks for blocks of every order, which some designs do not have. */
static const char *kernel_frame_name_at(size_t i)
{
    for (size_t k = 0; frame_allocator_at(k); k++)
        if (can_serve_kernel(frame_allocator_at(k)) && i-- == 0)
            return frame_allocator_name_at(k);
    return NULL;
}

static int apply_kernel_frame(const char *value, struct writer *why)
{
    return config_apply_choice(value, kernel_frame_name_at, why);
}

CONFIG_KEY(kernel_frame_key, .name = "kernel.frame", .valid = "a frame allocator with blocks of every order",
    .initial = "hartcache", .apply = apply_kernel_frame);

static int apply_kernel_lock(const char *value, struct writer *why)
{
    return config_apply_choice(value, lock_kind_name_at, why);
}

CONFIG_KEY(kernel_lock_key, .name = "kernel.lock", .valid = "a kind of lock", .initial = "ttas",
    .apply = apply_kernel_lock);

static int apply_kernel_heap(const char *value, struct writer *why)
{
    return config_apply_choice(value, heap_design_name_at, why);
}

CONFIG_KEY(kernel_heap_key, .name = "kernel.heap", .valid = "a heap", .initial = "hartbuddy",
    .apply = apply_kernel_heap);

static uint64_t kernel_guard;

static int apply_kernel_guard(const char *value, struct writer *why)
{
    return config_apply_number(value, 0, 1, &kernel_guard, why);
}

CONFIG_KEY(kernel_guard_key, .name = "kernel.guard",
    .valid = "1: canaries, poison and call sites around the blocks of the kernel's heap, or 0",
    .initial = HEAP_GUARD_DEFAULT ? "1" : "0", .apply = apply_kernel_guard);

static int poweroff(void)
{
    console_format("hartscale: %u harts online, nothing to do\n", hart_count());
    return 0;
}

CONFIG_KEY(poweroff_key, .name = "poweroff", .valid = "1: boot, bring up the harts, end", .initial = "0",
    .run = poweroff);

static void give_up(const char *format, ...) PRINTF_LIKE(1, 2) NORETURN;

/* The end of a run that the user can mend: a message, not a panic. */
static void give_up(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    console_lock();
    writer_puts(console_writer(), "error: ");
    writer_vformat(console_writer(), format, args);
    writer_puts(console_writer(), "\n");
    console_unlock();
    va_end(args);
    power_off(true);
}

static struct fdt_range read_machine(paddr_t address)
{
    struct fdt fdt;
    const char *what = "the device tree";
    const void *blob = paddr_to_direct(address);
    uint32_t bytes = fdt_blob_bytes(blob);
    if (bytes == 0 || bytes > FDT_BYTES_MAX)
        give_up("no device tree at %#lx, or one of more than %u bytes", address.value, FDT_BYTES_MAX);
    int error = fdt_open(&fdt, blob, bytes);
    if (!error)
        error = machine_read(&machine, &fdt, &what);
    if (machine.exit_device.bytes != 0)
        power_init(PADDR(machine.exit_device.base));
    if (error)
        give_up("device tree: %s: %s", what, error_text(error));
    return (struct fdt_range){address.value, bytes};
}

static void configure(void)
{
    static char arguments[MACHINE_BOOTARGS_MAX]; /* cut into pieces; machine.bootargs stays whole */
    static char text[4096]; /* the longest is the list of the bugs that can be planted */
    struct buffer_writer why;
    buffer_writer_init(&why, text, sizeof(text));
    memcpy(arguments, machine.bootargs, sizeof(arguments));
    if (config_load(arguments, &why.writer))
        give_up("%s", text);
}

static void choose_interrupts(void)
{
    char text[200];
    struct buffer_writer why;
    buffer_writer_init(&why, text, sizeof(text));
    if (ipi_settle(&machine, &why.writer))
        give_up("%s", text);
}

static void start_clock(void)
{
    static const char *const missing[] = {
        [CLOCK_HOST] = "the cycle counter does not run",
        [CLOCK_MODEL] =
            "no model answers: give QEMU the plugin tools/model, built from the same commit as this kernel",
    };
    if (clock_init(chosen_clock, machine.timebase_hz))
        give_up("clock=%s: %s", clock_name(chosen_clock), missing[chosen_clock]);
}

static void take_initrd(struct fdt_range fdt)
{
    char text[160];
    struct buffer_writer why;
    buffer_writer_init(&why, text, sizeof(text));
    initrd_settle(&machine, fdt);
    if (initrd_open(&machine, &why.writer))
        give_up("%s", text);
}

static void divide_memory(struct fdt_range fdt)
{
    struct fdt_range taken[] = {
        fdt,
        machine.initrd,
        {image_to_paddr(_image_start).value, (uint64_t)(_image_end - _image_start)},
    };
    const struct memory_designs designs = {
        .frame = frame_allocator_find(kernel_frame_key.given),
        .heap = heap_design_find(kernel_heap_key.given),
        .lock = lock_kind_find(kernel_lock_key.given),
        .heap_flags = HEAP_PEAK | (kernel_guard ? HEAP_GUARD : 0),
    };
    if (memory_init(&machine, taken, ARRAY_SIZE(taken), &designs))
        power_off(true);
}

/* From here on the table with all rights, which the firmware's way in needs, is only for harts that start. */
static void map_kernel(void)
{
    if (kernel_map_init(&machine, lock_kind_find(kernel_lock_key.given)))
        power_off(true);
    paging_use(kernel_table.root);
    if (kernel_spaces_init(machine.nharts))
        give_up("no memory for the page of zeros");
    user_trap_init();
    futex_init();
    sched_init();
}

/* The whole configuration, before anything is done with it. */
static void print_configuration(void)
{
    struct json json;
    console_lock();
    writer_puts(console_writer(), "@config ");
    json_init(&json, console_writer());
    json_object_begin(&json, NULL);
    json_string(&json, "commit", kernel_commit);
    json_string(&json, "compiler", kernel_compiler);
    json_string(&json, "flavour", kernel_flavour);
    json_string(&json, "machine", machine.model);
    json_unsigned(&json, "harts", hart_count());
    json_unsigned(&json, "boot_hart", hart_index());
    json_unsigned(&json, "arena_frames", memory_plan()->arena_frames);
    json_unsigned(&json, "timebase_hz", time_hz());
    json_unsigned(&json, "clock_hz", clock_hz());
    json_string(&json, "clock_unit", clock_unit(clock_kind()));
    json_unsigned(&json, "clock_overhead", clock_overhead());
    json_string(&json, "bootargs", machine.bootargs);
    json_object_begin(&json, "keys");
    config_write(&json);
    json_object_end(&json);
    json_object_end(&json);
    writer_puts(console_writer(), "\n");
    console_unlock();
}

static void run_mode(void *unused)
{
    (void)unused;
    const struct config_key *mode = config_mode();
    int error = mode ? mode->run() : monitor_run();
    record_report(mode ? mode->given : "monitor");
    power_off(error != 0);
}

/* On the boot hart's own stack, above a guard. What is measured shall not depend on which hart that is. */
static void run(void)
{
    if (smp_start_others())
        power_off(true);
    kernel_spaces_settle();
    print_configuration();
    smp_hand_over(0, run_mode);
}

void kernel_main(uint64_t hart_id, uint64_t fdt_address)
{
    const char *missing = sbi_check();
    if (missing)
        give_up("the firmware lacks SBI extension %s; OpenSBI 1.5 has it", missing);
    struct fdt_range fdt = read_machine(PADDR(fdt_address));
    configure();
    choose_interrupts();
    if (smp_adopt_boot_hart(machine.hartids, machine.nharts, (hart_id_t){hart_id}))
        give_up("hart id %lu booted but is not in the device tree", hart_id);
    start_clock();
    take_initrd(fdt);
    divide_memory(fdt);
    if (record_prepare())
        give_up("no memory to record so many calls of a heap");
    if (quarantine_prepare())
        give_up("no memory for so many frames in quarantine");
    map_kernel();
    hart_move_to_stacks(run);
}
