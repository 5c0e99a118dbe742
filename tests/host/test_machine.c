/*
 * What machine_read() makes of a tree. Each test starts from one plain description, changes a thing, and
 * looks at what comes of it; the errors are checked with their words, which are what a user sees.
 */
#include <stdio.h>
#include <string.h>
#include "lib/error.h"
#include "lib/machine.h"
#include "tests/host/fdt_builder.h"
#include "tests/host/fdt_walk.h"
#include "tests/host/unit.h"

#define CPUS_MAX 66
#define PHANDLE  100 /* of the first cpu's interrupt controller */

/* A machine to build a tree of; NULL and 0 leave things out. */
struct description {
    const char *model, *bootargs;
    struct fdt_range ram[10], reservations[4], reserved[20];
    unsigned nram, nreservations, nreserved;
    struct {
        uint32_t id;
        const char *status, *mmu;
        uint32_t timebase;
    } cpus[CPUS_MAX];
    unsigned ncpus;
    const char *ram_status;
    uint64_t timebase;
    unsigned timebase_cells;
    uint64_t initrd_start, initrd_end;
    unsigned initrd_cells;
    /* Interrupt files of the harts with these places among the cpus, by a line of each. */
    unsigned imsic_cpus[CPUS_MAX], nimsic, imsic_line, imsic_guest_bits;
    uint32_t imsic_bytes;
};

static struct fdt_builder builder;
static struct fdt fdt;
static struct machine machine;
static const char *what;

static struct description plain(void)
{
    return (struct description){
        .model = "sample",
        .bootargs = "bench=frame.*",
        .ram = {{0x80000000, 0x10000000}},
        .nram = 1,
        .cpus = {{.id = 0, .mmu = "riscv,sv39"}, {.id = 1, .mmu = "riscv,sv57"}},
        .ncpus = 2,
        .timebase = 10000000,
        .timebase_cells = 1,
    };
}

static void build_number(const char *name, uint64_t value, unsigned cells)
{
    if (cells == 1)
        fdt_build_u32(&builder, name, (uint32_t)value);
    else if (cells == 2)
        fdt_build_u64(&builder, name, value);
}

static void build_range(const char *name, const char *device_type, const char *status, struct fdt_range range)
{
    fdt_build_begin(&builder, name);
    if (device_type != NULL)
        fdt_build_string(&builder, "device_type", device_type);
    if (status != NULL)
        fdt_build_string(&builder, "status", status);
    fdt_build_cells(&builder, "reg",
        (const uint32_t[]){(uint32_t)(range.base >> 32), (uint32_t)range.base, (uint32_t)(range.bytes >> 32),
            (uint32_t)range.bytes},
        4);
    fdt_build_end(&builder);
}

static void build_cpus(const struct description *d)
{
    fdt_build_begin(&builder, "cpus");
    fdt_build_u32(&builder, "#address-cells", 1);
    fdt_build_u32(&builder, "#size-cells", 0);
    build_number("timebase-frequency", d->timebase, d->timebase_cells);
    for (unsigned i = 0; i < d->ncpus; i++) {
        fdt_build_begin(&builder, "cpu");
        fdt_build_string(&builder, "device_type", "cpu");
        fdt_build_u32(&builder, "reg", d->cpus[i].id);
        if (d->cpus[i].status != NULL)
            fdt_build_string(&builder, "status", d->cpus[i].status);
        if (d->cpus[i].mmu != NULL)
            fdt_build_string(&builder, "mmu-type", d->cpus[i].mmu);
        if (d->cpus[i].timebase != 0)
            fdt_build_u32(&builder, "timebase-frequency", d->cpus[i].timebase);
        fdt_build_begin(&builder, "interrupt-controller");
        fdt_build_u32(&builder, "phandle", PHANDLE + i);
        fdt_build_end(&builder);
        fdt_build_end(&builder);
    }
    fdt_build_begin(&builder, "cpu-map"); /* a child that is no cpu, as QEMU has it */
    fdt_build_end(&builder);
    fdt_build_end(&builder);
}

static void build_imsic(const struct description *d)
{
    uint32_t pairs[2 * CPUS_MAX];
    for (unsigned i = 0; i < d->nimsic; i++) {
        pairs[2 * i] = PHANDLE + d->imsic_cpus[i];
        pairs[2 * i + 1] = d->imsic_line;
    }
    fdt_build_begin(&builder, "soc");
    fdt_build_u32(&builder, "#address-cells", 2);
    fdt_build_u32(&builder, "#size-cells", 2);
    fdt_build_begin(&builder, "interrupt-controller@28000000");
    fdt_build_string(&builder, "compatible", "riscv,imsics");
    fdt_build_cells(&builder, "reg", (const uint32_t[]){0, 0x28000000, 0, d->imsic_bytes}, 4);
    fdt_build_cells(&builder, "interrupts-extended", pairs, 2 * (size_t)d->nimsic);
    fdt_build_u32(&builder, "riscv,guest-index-bits", d->imsic_guest_bits);
    fdt_build_end(&builder);
    fdt_build_end(&builder);
}

static void build_reserved(const struct description *d)
{
    fdt_build_begin(&builder, "reserved-memory");
    fdt_build_u32(&builder, "#address-cells", 2);
    fdt_build_u32(&builder, "#size-cells", 2);
    fdt_build_begin(&builder, "dynamic"); /* placed by the kernel, so without reg */
    fdt_build_end(&builder);
    for (unsigned i = 0; i < d->nreserved; i++)
        build_range("firmware", NULL, NULL, d->reserved[i]);
    fdt_build_end(&builder);
}

static void build(const struct description *d)
{
    fdt_build_start(&builder);
    for (unsigned i = 0; i < d->nreservations; i++)
        fdt_build_reservation(&builder, d->reservations[i].base, d->reservations[i].bytes);
    fdt_build_begin(&builder, "");
    fdt_build_u32(&builder, "#address-cells", 2);
    fdt_build_u32(&builder, "#size-cells", 2);
    if (d->model != NULL)
        fdt_build_string(&builder, "model", d->model);
    fdt_build_begin(&builder, "chosen");
    if (d->bootargs != NULL)
        fdt_build_string(&builder, "bootargs", d->bootargs);
    build_number("linux,initrd-start", d->initrd_start, d->initrd_cells);
    build_number("linux,initrd-end", d->initrd_end, d->initrd_cells);
    fdt_build_end(&builder);
    build_reserved(d);
    build_cpus(d);
    if (d->nimsic)
        build_imsic(d);
    for (unsigned i = 0; i < d->nram; i++)
        build_range("memory@0", "memory", d->ram_status, d->ram[i]);
    build_range("flash@0", NULL, NULL, (struct fdt_range){0x20000000, 0x2000000});
    fdt_build_end(&builder);
    fdt_build_finish(&builder);
}

static int read_built(void)
{
    assert_int_equal(fdt_open(&fdt, builder.blob, builder.blob_bytes), 0);
    what = "";
    return machine_read(&machine, &fdt, &what);
}

static int read_description(const struct description *d)
{
    build(d);
    return read_built();
}

static void expect_error(const struct description *d, int error, const char *words)
{
    assert_int_equal(read_description(d), error);
    assert_string_equal(what, words);
}

static void a_plain_machine(void **state)
{
    struct description d = plain();

    (void)state;
    assert_int_equal(read_description(&d), 0);
    assert_null(what);
    assert_string_equal(machine.model, "sample");
    assert_string_equal(machine.bootargs, "bench=frame.*");
    assert_int_equal(machine.nram, 1);
    assert_true(machine.ram[0].base == 0x80000000 && machine.ram[0].bytes == 0x10000000);
    assert_int_equal(machine.nreserved, 0);
    assert_int_equal(machine.initrd.bytes, 0);
    assert_int_equal(machine.nharts, 2);
    assert_true(machine.hartids[0] == 0 && machine.hartids[1] == 1);
    assert_int_equal(machine.timebase_hz, 10000000);
}

static void optional_things_may_be_absent(void **state)
{
    struct description d = plain();

    (void)state;
    d.model = d.bootargs = NULL;
    assert_int_equal(read_description(&d), 0);
    assert_string_equal(machine.model, "");
    assert_string_equal(machine.bootargs, "");

    fdt_build_start(&builder);
    fdt_build_begin(&builder, "");
    fdt_build_end(&builder);
    fdt_build_finish(&builder);
    assert_int_equal(read_built(), ERR_NOT_FOUND);
    assert_string_equal(what, "no RAM");
}

static void sparse_harts_are_sorted(void **state)
{
    static const uint32_t ids[] = {7, 4096, 0xffffffff, 1, 64};
    static const uint64_t sorted[] = {1, 7, 64, 4096, 0xffffffff};
    struct description d = plain();

    (void)state;
    d.ncpus = ARRAY_SIZE(ids);
    for (unsigned i = 0; i < d.ncpus; i++) {
        d.cpus[i].id = ids[i];
        d.cpus[i].mmu = "riscv,sv39";
    }
    assert_int_equal(read_description(&d), 0);
    assert_int_equal(machine.nharts, ARRAY_SIZE(sorted));
    assert_memory_equal(machine.hartids, sorted, sizeof(sorted));
}

static void only_usable_harts_count(void **state)
{
    struct description d = plain();

    (void)state;
    d.ncpus = 7;
    d.cpus[0].mmu = NULL;
    d.cpus[1].mmu = "riscv,none";
    for (unsigned i = 2; i < d.ncpus; i++) {
        d.cpus[i].id = i;
        d.cpus[i].mmu = "riscv,sv48";
    }
    d.cpus[2].status = "disabled";
    d.cpus[3].status = "okay";
    d.cpus[4].status = "ok";
    d.cpus[5].status = "";
    assert_int_equal(read_description(&d), 0);
    assert_int_equal(machine.nharts, 3);
    assert_true(machine.hartids[0] == 3 && machine.hartids[1] == 4 && machine.hartids[2] == 6);

    d.ncpus = 3;
    expect_error(&d, ERR_NOT_FOUND, "no harts with an MMU");
}

static void sixty_four_harts_are_the_most(void **state)
{
    struct description d = plain();

    (void)state;
    for (unsigned i = 0; i < CPUS_MAX; i++) {
        d.cpus[i].id = CPUS_MAX - i;
        d.cpus[i].mmu = "riscv,sv39";
    }
    d.ncpus = 64;
    assert_int_equal(read_description(&d), 0);
    assert_int_equal(machine.nharts, 64);
    assert_int_equal(machine.hartids[0], CPUS_MAX - 63);
    d.ncpus = 65;
    expect_error(&d, ERR_RANGE, "more than 64 harts");
    d.cpus[10].status = "disabled"; /* what is skipped does not count */
    assert_int_equal(read_description(&d), 0);
}

static void duplicate_harts_are_refused(void **state)
{
    struct description d = plain();

    (void)state;
    d.cpus[2] = d.cpus[0];
    d.ncpus = 3;
    expect_error(&d, ERR_FORMAT, "two harts with one id");
}

static void timebase_from_either_place(void **state)
{
    struct description d = plain();

    (void)state;
    d.timebase = 0x100000001;
    d.timebase_cells = 2;
    assert_int_equal(read_description(&d), 0);
    assert_int_equal(machine.timebase_hz, 0x100000001);

    d.timebase_cells = 0;
    expect_error(&d, ERR_NOT_FOUND, "no timebase-frequency");
    d.cpus[1].timebase = 24000000;
    assert_int_equal(read_description(&d), 0);
    assert_int_equal(machine.timebase_hz, 24000000);

    d.timebase = 0;
    d.timebase_cells = 1;
    d.cpus[1].timebase = 0;
    expect_error(&d, ERR_NOT_FOUND, "no timebase-frequency");
}

static void ram_comes_in_pieces(void **state)
{
    struct description d = plain();

    (void)state;
    d.nram = MACHINE_RAM_MAX + 1;
    for (unsigned i = 0; i < d.nram; i++)
        d.ram[i] = (struct fdt_range){.base = 0x80000000 + i * 0x2000000000, .bytes = 0x100000};
    d.ram[3].bytes = 0; /* a NUMA node without memory: skipped, and not counted */
    assert_int_equal(read_description(&d), 0);
    assert_int_equal(machine.nram, MACHINE_RAM_MAX);
    assert_int_equal(machine.ram[3].base, d.ram[4].base);
    d.ram[3].bytes = 1;
    expect_error(&d, ERR_RANGE, "more than 8 pieces of RAM");
}

static void one_node_may_hold_several_pieces(void **state)
{
    static const uint32_t reg[] = {0, 0x80000000, 0, 0x1000, 1, 0, 0, 0x2000};
    struct description d = plain();

    (void)state;
    fdt_build_start(&builder);
    fdt_build_begin(&builder, "");
    fdt_build_u32(&builder, "#address-cells", 2);
    fdt_build_u32(&builder, "#size-cells", 2);
    build_cpus(&d);
    fdt_build_begin(&builder, "memory@80000000");
    fdt_build_string(&builder, "device_type", "memory");
    fdt_build_cells(&builder, "reg", reg, ARRAY_SIZE(reg));
    fdt_build_end(&builder);
    fdt_build_end(&builder);
    fdt_build_finish(&builder);
    assert_int_equal(read_built(), 0);
    assert_int_equal(machine.nram, 2);
    assert_true(machine.ram[1].base == 0x100000000 && machine.ram[1].bytes == 0x2000);
}

static void bad_ram_is_refused(void **state)
{
    struct description d = plain();

    (void)state;
    d.nram = 0;
    expect_error(&d, ERR_NOT_FOUND, "no RAM");
    d = plain();
    d.ram_status = "disabled";
    expect_error(&d, ERR_NOT_FOUND, "no RAM");
    d = plain();
    d.ram[0].bytes = 0 - d.ram[0].base;
    expect_error(&d, ERR_RANGE, "RAM wraps around the address space");
    d.ram[0].bytes--;
    assert_int_equal(read_description(&d), 0);

    d = plain();
    d.nram = 2;
    d.ram[1] = (struct fdt_range){.base = 0x8ffff000, .bytes = 0x1000};
    expect_error(&d, ERR_FORMAT, "pieces of RAM overlap");
    d.ram[1].base = 0x7ffff001;
    expect_error(&d, ERR_FORMAT, "pieces of RAM overlap");
    d.ram[1].base = 0x7ffff000;
    assert_int_equal(read_description(&d), 0);
    d.ram[1].base = 0x90000000;
    assert_int_equal(read_description(&d), 0);
}

static void both_kinds_of_reservation(void **state)
{
    struct description d = plain();

    (void)state;
    d.reservations[0] = (struct fdt_range){0x80000000, 0x40000};
    d.reservations[1] = (struct fdt_range){0x81000000, 0};
    d.nreservations = 2;
    d.reserved[0] = (struct fdt_range){0x82000000, 0x1000};
    d.nreserved = 1;
    assert_int_equal(read_description(&d), 0);
    assert_int_equal(machine.nreserved, 2);
    assert_int_equal(machine.reserved[0].bytes, 0x40000);
    assert_int_equal(machine.reserved[1].base, 0x82000000);

    d.nreserved = MACHINE_RESERVED_MAX;
    for (unsigned i = 0; i < d.nreserved; i++)
        d.reserved[i] = (struct fdt_range){0x82000000 + i * 0x2000, 0x1000};
    expect_error(&d, ERR_RANGE, "more than 16 reserved ranges");
    d.nreserved--;
    assert_int_equal(read_description(&d), 0);
    d.reserved[2] = (struct fdt_range){UINT64_MAX, 1};
    expect_error(&d, ERR_RANGE, "reserved memory wraps around the address space");
}

static void initrd_of_one_or_two_cells(void **state)
{
    struct description d = plain();

    (void)state;
    for (d.initrd_cells = 1; d.initrd_cells <= 2; d.initrd_cells++) {
        d.initrd_start = 0x88000000;
        d.initrd_end = 0x88001234;
        assert_int_equal(read_description(&d), 0);
        assert_true(machine.initrd.base == 0x88000000 && machine.initrd.bytes == 0x1234);
        d.initrd_end = d.initrd_start;
        assert_int_equal(read_description(&d), 0);
        assert_int_equal(machine.initrd.bytes, 0);
        d.initrd_end--;
        expect_error(&d, ERR_RANGE, "the initrd ends before it starts");
    }
}

static void texts_have_to_fit(void **state)
{
    char text[MACHINE_BOOTARGS_MAX + 1];
    struct description d = plain();

    (void)state;
    memset(text, 'x', sizeof(text));
    text[MACHINE_BOOTARGS_MAX - 1] = '\0';
    d.bootargs = text;
    assert_int_equal(read_description(&d), 0);
    assert_string_equal(machine.bootargs, text);
    text[MACHINE_BOOTARGS_MAX - 1] = 'x';
    text[MACHINE_BOOTARGS_MAX] = '\0';
    expect_error(&d, ERR_RANGE, "bootargs too long");
    d = plain();
    d.model = text;
    expect_error(&d, ERR_RANGE, "model too long or malformed");
}

/* What takes a malformed property and no more: built by hand. */
static void malformed_properties_are_refused(void **state)
{
    static const struct {
        const char *node, *property, *words;
    } cases[] = {
        {"chosen", "linux,initrd-start", "malformed bounds of the initrd"},
        {"chosen", "bootargs", "malformed bootargs"},
        {"cpus", "timebase-frequency", "malformed timebase-frequency"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct description d = plain();
        d.ncpus = 1;
        fdt_build_start(&builder);
        fdt_build_begin(&builder, "");
        fdt_build_u32(&builder, "#address-cells", 2);
        fdt_build_u32(&builder, "#size-cells", 2);
        build_range("memory@0", "memory", NULL, d.ram[0]);
        fdt_build_begin(&builder, cases[i].node); /* before the right one, if there is one */
        fdt_build_bytes(&builder, cases[i].property, "abc", 3);
        fdt_build_end(&builder);
        build_cpus(&d);
        fdt_build_end(&builder);
        fdt_build_finish(&builder);
        assert_int_equal(read_built(), ERR_FORMAT);
        assert_string_equal(what, cases[i].words);
    }
}

static void every_bit_flipped(void **state)
{
    struct description d = plain();

    (void)state;
    d.initrd_cells = 2;
    d.nreserved = d.nreservations = 1;
    build(&d);
    assert_int_equal(fdt_walk(builder.blob, builder.blob_bytes), 0);
    for (size_t bit = 0; bit < builder.blob_bytes * 8; bit++) {
        builder.blob[bit / 8] ^= (uint8_t)(1u << bit % 8);
        (void)fdt_walk(builder.blob, builder.blob_bytes);
        builder.blob[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* Pages go to harts by what the pairs say, not by their order. */
static void interrupt_files(void **state)
{
    struct description d = plain();
    (void)state;
    d.nimsic = 2;
    d.imsic_cpus[0] = 1;
    d.imsic_cpus[1] = 0;
    d.imsic_line = 9;
    d.imsic_bytes = 0x4000;
    build(&d);
    assert_int_equal(read_built(), 0);
    assert_int_equal(machine.imsic[0], 0x28001000);
    assert_int_equal(machine.imsic[1], 0x28000000);
    d.imsic_guest_bits = 1;
    build(&d);
    assert_int_equal(read_built(), 0);
    assert_int_equal(machine.imsic[0], 0x28002000);
    d.imsic_guest_bits = 2;
    build(&d);
    assert_int_equal(read_built(), ERR_RANGE);
    assert_string_equal(what, "an IMSIC with fewer pages than harts");
    d.imsic_guest_bits = 64;
    build(&d);
    assert_int_equal(read_built(), ERR_FORMAT);
}

/* M-mode's, and one that some harts lack, are none. */
static void interrupt_files_that_are_none(void **state)
{
    struct description d = plain();
    (void)state;
    d.nimsic = 2;
    d.imsic_cpus[1] = 1;
    d.imsic_line = 11;
    d.imsic_bytes = 0x4000;
    build(&d);
    assert_int_equal(read_built(), 0);
    assert_int_equal(machine.imsic[0], 0);
    d.imsic_line = 9;
    d.nimsic = 1;
    build(&d);
    assert_int_equal(read_built(), 0);
    assert_int_equal(machine.imsic[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interrupt_files),
        cmocka_unit_test(interrupt_files_that_are_none),
        cmocka_unit_test(a_plain_machine),
        cmocka_unit_test(optional_things_may_be_absent),
        cmocka_unit_test(sparse_harts_are_sorted),
        cmocka_unit_test(only_usable_harts_count),
        cmocka_unit_test(sixty_four_harts_are_the_most),
        cmocka_unit_test(duplicate_harts_are_refused),
        cmocka_unit_test(timebase_from_either_place),
        cmocka_unit_test(ram_comes_in_pieces),
        cmocka_unit_test(one_node_may_hold_several_pieces),
        cmocka_unit_test(bad_ram_is_refused),
        cmocka_unit_test(both_kinds_of_reservation),
        cmocka_unit_test(initrd_of_one_or_two_cells),
        cmocka_unit_test(texts_have_to_fit),
        cmocka_unit_test(malformed_properties_are_refused),
        cmocka_unit_test(every_bit_flipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
