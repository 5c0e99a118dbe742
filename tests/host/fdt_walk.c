/*
 * The walk that hostile trees are sent through. What the reader returns is checked to lie inside the blob
 * and is read to its end, so that a bad pointer or length is found here and not in a later caller.
 */
#include "tests/host/fdt_walk.h"
#include <stdlib.h>
#include <string.h>
#include "lib/error.h"
#include "lib/machine.h"

/* The properties that some reader interprets. */
static const char *const property_names[] = {"reg", "device_type", "status", "model", "bootargs",
    "#address-cells", "#size-cells", "timebase-frequency", "mmu-type", "linux,initrd-start",
    "linux,initrd-end", ""};

static void require(bool condition)
{
    if (!condition)
        abort();
}

static bool inside(const struct fdt *fdt, const void *start, size_t bytes)
{
    const uint8_t *at = start;

    return at >= fdt->blob && at <= fdt->blob + fdt->total_bytes &&
           bytes <= (size_t)(fdt->blob + fdt->total_bytes - at);
}

static void visit_properties(const struct fdt *fdt, struct fdt_node node)
{
    for (size_t i = 0; i < ARRAY_SIZE(property_names); i++) {
        struct fdt_property property;
        const char *text;
        uint64_t value;
        if (fdt_property(fdt, node, property_names[i], &property) != 0)
            continue;
        require(strcmp(property.name, property_names[i]) == 0);
        require(inside(fdt, property.name, strlen(property.name) + 1));
        require(inside(fdt, property.value, property.bytes));
        if (fdt_string(fdt, node, property_names[i], &text) == 0)
            require(strlen(text) + 1 == property.bytes);
        for (unsigned cells = 1; cells <= 2; cells++) {
            int error = fdt_cells(fdt, node, property_names[i], cells, &value);
            require(error == (property.bytes == 4 * cells ? 0 : ERR_FORMAT));
        }
    }
}

static void visit_reg(const struct fdt *fdt, struct fdt_node parent, struct fdt_node node)
{
    struct fdt_range range;
    unsigned i = 0;
    int error;

    while ((error = fdt_reg(fdt, parent, node, i, &range)) == 0)
        i++;
    require(error == ERR_NOT_FOUND || error == ERR_FORMAT || error == ERR_UNSUPPORTED);
    require(i == 0 || error == ERR_NOT_FOUND);
    require(fdt_reg(fdt, parent, node, UINT32_MAX, &range) != 0);
}

/* Visits a node and all below it; returns how many there were. */
static size_t visit_node(const struct fdt *fdt, struct fdt_node parent, struct fdt_node node, unsigned depth)
{
    const char *name = fdt_name(fdt, node);
    struct fdt_node child, found;
    size_t count = 1;

    require(depth <= FDT_DEPTH_MAX);
    require(inside(fdt, name, strlen(name) + 1));
    visit_properties(fdt, node);
    visit_reg(fdt, parent, node);
    if (fdt_child(fdt, node, "cpu", &found) == 0)
        require(strncmp(fdt_name(fdt, found), "cpu", 3) == 0);
    for (int walk = fdt_first_child(fdt, node, &child); walk == 0;
         walk = fdt_next_sibling(fdt, child, &child)) {
        require(child.offset > node.offset);
        count += visit_node(fdt, node, child, depth + 1);
    }
    return count;
}

/* Nodes that are none: no harm may come of an offset that points anywhere. */
static void visit_nonsense(const struct fdt *fdt)
{
    for (uint32_t offset = 0; offset < MIN(fdt->struct_bytes + 8, 256u); offset++) {
        struct fdt_node node = {offset}, other;
        require(inside(fdt, fdt_name(fdt, node), 0) || *fdt_name(fdt, node) == '\0');
        (void)fdt_first_child(fdt, node, &other);
        (void)fdt_next_sibling(fdt, node, &other);
        visit_properties(fdt, node);
    }
    (void)fdt_name(fdt, (struct fdt_node){UINT32_MAX});
    (void)fdt_name(fdt, (struct fdt_node){UINT32_MAX - 3});
}

static void visit_reservations(const struct fdt *fdt)
{
    struct fdt_range range;
    unsigned i = 0;

    while (fdt_reservation(fdt, i, &range) == 0)
        i++;
    require(i < fdt->total_bytes / 16);
    require(fdt_reservation(fdt, i + 1, &range) == ERR_NOT_FOUND);
    require(fdt_reservation(fdt, UINT32_MAX, &range) == ERR_NOT_FOUND);
}

static void check_ranges(const struct fdt_range *ranges, unsigned count, unsigned limit)
{
    require(count <= limit);
    for (unsigned i = 0; i < count; i++)
        require(ranges[i].bytes > 0 && ranges[i].base + ranges[i].bytes > ranges[i].base);
}

static void read_machine(const struct fdt *fdt)
{
    static struct machine machine;
    const char *what = NULL;
    int error = machine_read(&machine, fdt, &what);

    require((error == 0) == (what == NULL));
    if (error != 0)
        return;
    check_ranges(machine.ram, machine.nram, MACHINE_RAM_MAX);
    check_ranges(machine.reserved, machine.nreserved, MACHINE_RESERVED_MAX);
    require(machine.nram > 0 && machine.timebase_hz > 0);
    require(machine.nharts > 0 && machine.nharts <= MACHINE_HARTS_MAX);
    for (unsigned i = 1; i < machine.nharts; i++)
        require(machine.hartids[i] > machine.hartids[i - 1]);
    require(memchr(machine.model, '\0', sizeof(machine.model)) != NULL);
    require(memchr(machine.bootargs, '\0', sizeof(machine.bootargs)) != NULL);
}

int fdt_walk(const uint8_t *bytes, size_t count)
{
    uint8_t *blob = malloc(count);
    struct fdt fdt;

    require(blob != NULL || count == 0);
    if (count > 0)
        memcpy(blob, bytes, count);
    int error = fdt_open(&fdt, blob, count);
    if (error == 0) {
        visit_node(&fdt, fdt_root(&fdt), fdt_root(&fdt), 1);
        visit_nonsense(&fdt);
        visit_reservations(&fdt);
        read_machine(&fdt);
    }
    free(blob);
    return error;
}
