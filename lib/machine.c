/*
 * Reads the machine's description out of a device tree. Each reader below owns one part of the tree and
 * returns the first thing wrong with it; what is wrong is said in a static string, because this runs
 * before the console has more than a polled byte to offer.
 */
#include "lib/machine.h"
#include "lib/error.h"
#include "lib/stats.h"
#include "lib/string.h"

/* What every reader works on. */
struct reading {
    struct machine *machine;
    const struct fdt *fdt;
    struct fdt_node root;
    const char *what;
};

static int fail(struct reading *reading, int error, const char *what)
{
    reading->what = what;
    return error;
}

/* For a property that may be absent: that is no error. */
static int optional(int error)
{
    return error == ERR_NOT_FOUND ? 0 : error;
}

static bool string_is(const struct fdt *fdt, struct fdt_node node, const char *property, const char *text)
{
    const char *value;

    return fdt_string(fdt, node, property, &value) == 0 && strcmp(value, text) == 0;
}

static bool is_enabled(const struct fdt *fdt, struct fdt_node node)
{
    struct fdt_property status;

    return fdt_property(fdt, node, "status", &status) == ERR_NOT_FOUND ||
           string_is(fdt, node, "status", "okay") || string_is(fdt, node, "status", "ok");
}

/* A property that holds one number of either width, as timebase-frequency and the initrd's bounds do. */
static int read_number(const struct fdt *fdt, struct fdt_node node, const char *name, uint64_t *value)
{
    int error = fdt_cells(fdt, node, name, 1, value);

    return error == ERR_FORMAT ? fdt_cells(fdt, node, name, 2, value) : error;
}

/* Copies a string property into a field; absent, it leaves "" there. */
static int read_string(
    const struct fdt *fdt, struct fdt_node node, const char *name, char *field, size_t capacity)
{
    const char *text;
    int error = fdt_string(fdt, node, name, &text);

    if (error != 0)
        return optional(error);
    size_t length = strlen(text);
    if (length >= capacity)
        return ERR_RANGE;
    memcpy(field, text, length + 1);
    return 0;
}

static bool wraps(const struct fdt_range *range)
{
    return range->base + range->bytes < range->base;
}

static bool overlap(const struct fdt_range *a, const struct fdt_range *b)
{
    return a->base < b->base + b->bytes && b->base < a->base + a->bytes;
}

/* Adds a piece of RAM. Pieces that overlap are refused: their frames would be handed out twice. */
static int add_ram(struct reading *reading, const struct fdt_range *range)
{
    struct machine *machine = reading->machine;

    if (wraps(range))
        return fail(reading, ERR_RANGE, "RAM wraps around the address space");
    if (range->bytes == 0)
        return 0;
    for (unsigned i = 0; i < machine->nram; i++) {
        if (overlap(range, &machine->ram[i]))
            return fail(reading, ERR_FORMAT, "pieces of RAM overlap");
    }
    if (machine->nram == MACHINE_RAM_MAX)
        return fail(reading, ERR_RANGE, "more than 8 pieces of RAM");
    machine->ram[machine->nram++] = *range;
    return 0;
}

static int add_reserved(struct reading *reading, const struct fdt_range *range)
{
    struct machine *machine = reading->machine;

    if (wraps(range))
        return fail(reading, ERR_RANGE, "reserved memory wraps around the address space");
    if (range->bytes == 0)
        return 0;
    if (machine->nreserved == MACHINE_RESERVED_MAX)
        return fail(reading, ERR_RANGE, "more than 16 reserved ranges");
    machine->reserved[machine->nreserved++] = *range;
    return 0;
}

_Static_assert(
    MACHINE_RAM_MAX == 8 && MACHINE_RESERVED_MAX == 16 && MACHINE_HARTS_MAX == 64, "as the messages say");

/* Adds every range of a node's `reg`, which may be absent. */
static int add_reg(struct reading *reading, struct fdt_node parent, struct fdt_node node,
    int (*add)(struct reading *, const struct fdt_range *))
{
    struct fdt_range range;
    int error;

    for (unsigned i = 0; (error = fdt_reg(reading->fdt, parent, node, i, &range)) == 0; i++) {
        error = add(reading, &range);
        if (error != 0)
            return error;
    }
    return error == ERR_NOT_FOUND ? 0 : fail(reading, error, "malformed reg of a memory node");
}

static int read_ram(struct reading *reading)
{
    const struct fdt *fdt = reading->fdt;
    struct fdt_node node;

    for (int walk = fdt_first_child(fdt, reading->root, &node); walk == 0;
         walk = fdt_next_sibling(fdt, node, &node)) {
        if (!string_is(fdt, node, "device_type", "memory") || !is_enabled(fdt, node))
            continue;
        int error = add_reg(reading, reading->root, node, add_ram);
        if (error != 0)
            return error;
    }
    return reading->machine->nram > 0 ? 0 : fail(reading, ERR_NOT_FOUND, "no RAM");
}

static int read_reserved(struct reading *reading)
{
    const struct fdt *fdt = reading->fdt;
    struct fdt_range range;
    struct fdt_node parent, node;
    int error = 0;

    for (unsigned i = 0; error == 0 && fdt_reservation(fdt, i, &range) == 0; i++)
        error = add_reserved(reading, &range);
    if (error != 0 || fdt_child(fdt, reading->root, "reserved-memory", &parent) != 0)
        return error;

    for (int walk = fdt_first_child(fdt, parent, &node); walk == 0 && error == 0;
         walk = fdt_next_sibling(fdt, node, &node)) {
        if (is_enabled(fdt, node))
            error = add_reg(reading, parent, node, add_reserved);
    }
    return error;
}

/* A hart that this kernel can run on; the monitor harts of some parts have no MMU and say so. */
static bool is_usable_cpu(const struct fdt *fdt, struct fdt_node node)
{
    struct fdt_property mmu;

    return string_is(fdt, node, "device_type", "cpu") && is_enabled(fdt, node) &&
           fdt_property(fdt, node, "mmu-type", &mmu) == 0 && !string_is(fdt, node, "mmu-type", "riscv,none");
}

static int add_hart(struct reading *reading, struct fdt_node cpus, struct fdt_node cpu)
{
    struct machine *machine = reading->machine;
    struct fdt_range id;

    if (fdt_reg(reading->fdt, cpus, cpu, 0, &id) != 0)
        return fail(reading, ERR_FORMAT, "a cpu without a hart id");
    if (machine->nharts == MACHINE_HARTS_MAX)
        return fail(reading, ERR_RANGE, "more than 64 harts");
    machine->hartids[machine->nharts++] = id.base;
    return 0;
}

static int check_harts(struct reading *reading)
{
    struct machine *machine = reading->machine;

    if (machine->nharts == 0)
        return fail(reading, ERR_NOT_FOUND, "no harts with an MMU");
    stats_sort(machine->hartids, machine->nharts);
    for (unsigned i = 1; i < machine->nharts; i++) {
        if (machine->hartids[i] == machine->hartids[i - 1])
            return fail(reading, ERR_FORMAT, "two harts with one id");
    }
    return 0;
}

/* The timebase stands on /cpus where all harts share it, and on each cpu in older trees. */
static int read_harts(struct reading *reading)
{
    const struct fdt *fdt = reading->fdt;
    uint64_t *timebase = &reading->machine->timebase_hz;
    struct fdt_node cpus, cpu;

    if (fdt_child(fdt, reading->root, "cpus", &cpus) != 0)
        return fail(reading, ERR_NOT_FOUND, "no /cpus");
    int error = optional(read_number(fdt, cpus, "timebase-frequency", timebase));

    for (int walk = fdt_first_child(fdt, cpus, &cpu); walk == 0 && error == 0;
         walk = fdt_next_sibling(fdt, cpu, &cpu)) {
        if (!is_usable_cpu(fdt, cpu))
            continue;
        error = add_hart(reading, cpus, cpu);
        if (error != 0)
            return error;
        if (*timebase == 0)
            error = optional(read_number(fdt, cpu, "timebase-frequency", timebase));
    }
    if (error != 0)
        return fail(reading, error, "malformed timebase-frequency");
    if (*timebase == 0)
        return fail(reading, ERR_NOT_FOUND, "no timebase-frequency");
    return check_harts(reading);
}

/* The harts' interrupt controllers are children of their nodes. */
static bool is_controller_of(const struct fdt *fdt, struct fdt_node cpu, uint64_t phandle)
{
    struct fdt_node controller;
    uint64_t own;

    return fdt_child(fdt, cpu, "interrupt-controller", &controller) == 0 &&
           fdt_cells(fdt, controller, "phandle", 1, &own) == 0 && own == phandle;
}

/* The place among the machine's harts of the one whose interrupt controller that is; nharts if it is none of them. */
static unsigned hart_of_controller(const struct reading *reading, struct fdt_node cpus, uint64_t phandle)
{
    const struct fdt *fdt = reading->fdt;
    const struct machine *machine = reading->machine;
    struct fdt_node cpu;
    struct fdt_range id;

    for (int walk = fdt_first_child(fdt, cpus, &cpu); walk == 0; walk = fdt_next_sibling(fdt, cpu, &cpu)) {
        if (!is_controller_of(fdt, cpu, phandle) || fdt_reg(fdt, cpus, cpu, 0, &id) != 0)
            continue;
        for (unsigned i = 0; i < machine->nharts; i++) {
            if (machine->hartids[i] == id.base)
                return i;
        }
    }
    return machine->nharts;
}

#define IMSIC_PAGE_BYTES 4096
#define IRQ_S_EXTERNAL   9

static uint64_t cell_at(const struct fdt_property *property, uint32_t i)
{
    const uint8_t *byte = property->value + 4 * (size_t)i;

    return (uint64_t)byte[0] << 24 | (uint64_t)byte[1] << 16 | (uint64_t)byte[2] << 8 | byte[3];
}

/* One page, and those of its guests, for each pair of a controller and a line, in that order. Those of M-mode have another line. */
static int add_imsic(struct reading *reading, struct fdt_node soc, struct fdt_node cpus, struct fdt_node node)
{
    const struct fdt *fdt = reading->fdt;
    struct machine *machine = reading->machine;
    struct fdt_property pairs;
    struct fdt_range pages;
    uint64_t guest_bits = 0;

    if (fdt_property(fdt, node, "interrupts-extended", &pairs) != 0 || pairs.bytes % 8 != 0 ||
        fdt_reg(fdt, soc, node, 0, &pages) != 0 || wraps(&pages) ||
        optional(fdt_cells(fdt, node, "riscv,guest-index-bits", 1, &guest_bits)) != 0 || guest_bits > 7)
        return fail(reading, ERR_FORMAT, "malformed IMSIC");
    uint64_t stride = (uint64_t)IMSIC_PAGE_BYTES << guest_bits;
    for (uint32_t i = 0; i < pairs.bytes / 8; i++) {
        if (cell_at(&pairs, 2 * i + 1) != IRQ_S_EXTERNAL)
            continue;
        unsigned hart = hart_of_controller(reading, cpus, cell_at(&pairs, 2 * i));
        if ((i + 1) * stride > pages.bytes)
            return fail(reading, ERR_RANGE, "an IMSIC with fewer pages than harts");
        if (hart < machine->nharts)
            machine->imsic[hart] = pages.base + i * stride;
    }
    return 0;
}

/* One for all harts, or none: a machine where only some have one is as one that has none. */
static int read_imsic(struct reading *reading)
{
    const struct fdt *fdt = reading->fdt;
    struct machine *machine = reading->machine;
    struct fdt_node soc, cpus, node;
    bool all = true;
    int error = 0;

    if (fdt_child(fdt, reading->root, "soc", &soc) != 0 || fdt_child(fdt, reading->root, "cpus", &cpus) != 0)
        return 0;
    for (int walk = fdt_first_child(fdt, soc, &node); walk == 0 && error == 0;
         walk = fdt_next_sibling(fdt, node, &node)) {
        if (fdt_is_compatible(fdt, node, "riscv,imsics") && is_enabled(fdt, node))
            error = add_imsic(reading, soc, cpus, node);
    }
    for (unsigned i = 0; i < machine->nharts; i++)
        all = all && machine->imsic[i] != 0;
    if (!all)
        memset(machine->imsic, 0, sizeof(machine->imsic));
    return error;
}

static int read_initrd(struct reading *reading, struct fdt_node chosen)
{
    struct fdt_range *initrd = &reading->machine->initrd;
    uint64_t start, end;
    int start_error = read_number(reading->fdt, chosen, "linux,initrd-start", &start);
    int end_error = read_number(reading->fdt, chosen, "linux,initrd-end", &end);

    if (start_error == ERR_NOT_FOUND && end_error == ERR_NOT_FOUND)
        return 0;
    if (start_error != 0 || end_error != 0)
        return fail(reading, ERR_FORMAT, "malformed bounds of the initrd");
    if (end < start)
        return fail(reading, ERR_RANGE, "the initrd ends before it starts");
    *initrd = (struct fdt_range){.base = start, .bytes = end - start};
    return 0;
}

static int read_chosen(struct reading *reading)
{
    struct machine *machine = reading->machine;
    struct fdt_node chosen;

    if (fdt_child(reading->fdt, reading->root, "chosen", &chosen) != 0)
        return 0;
    int error = read_string(reading->fdt, chosen, "bootargs", machine->bootargs, sizeof(machine->bootargs));
    if (error != 0)
        return fail(reading, error, error == ERR_RANGE ? "bootargs too long" : "malformed bootargs");
    return read_initrd(reading, chosen);
}

/* The finisher lies on the simple bus /soc. A machine without one is fine. */
static int read_exit_device(struct reading *reading)
{
    const struct fdt *fdt = reading->fdt;
    struct fdt_range *device = &reading->machine->exit_device;
    struct fdt_node soc, node;

    if (fdt_child(fdt, reading->root, "soc", &soc) != 0)
        return 0;
    for (int walk = fdt_first_child(fdt, soc, &node); walk == 0; walk = fdt_next_sibling(fdt, node, &node)) {
        if (!fdt_is_compatible(fdt, node, "sifive,test0") || !is_enabled(fdt, node))
            continue;
        if (fdt_reg(fdt, soc, node, 0, device) != 0 || wraps(device))
            return fail(reading, ERR_FORMAT, "malformed reg of the test finisher");
    }
    return 0;
}

static int read_model(struct reading *reading)
{
    struct machine *machine = reading->machine;
    int error = read_string(reading->fdt, reading->root, "model", machine->model, sizeof(machine->model));

    return error == 0 ? 0 : fail(reading, error, "model too long or malformed");
}

int machine_read(struct machine *machine, const struct fdt *fdt, const char **what)
{
    struct reading reading = {.machine = machine, .fdt = fdt, .root = fdt_root(fdt)};

    memset(machine, 0, sizeof(*machine));
    int error = read_exit_device(&reading); /* what is wrong elsewhere becomes an exit status through it */
    if (error == 0)
        error = read_model(&reading);
    if (error == 0)
        error = read_ram(&reading);
    if (error == 0)
        error = read_reserved(&reading);
    if (error == 0)
        error = read_harts(&reading);
    if (error == 0)
        error = read_imsic(&reading);
    if (error == 0)
        error = read_chosen(&reading);
    *what = reading.what;
    return error;
}
