/*
 * Fuzzes the device tree reader, two ways. An input that begins like a tree is taken for a whole blob. Any
 * other is taken for a structure block, and gets a right header and the names that machine_read() looks for,
 * so that the fuzzer's time goes into tokens and not into guessing a header.
 *
 * The seeds in corpus_fdt are the tree of `qemu-system-riscv64 -machine virt,dumpdtb=` with two harts, and
 * structure blocks cut from the trees of test_machine.
 */
#include <string.h>
#include "tests/host/fdt_builder.h"
#include "tests/host/fdt_walk.h"

#define MAGIC_FIRST_BYTE 0xd0

static const char names[] = "reg\0device_type\0status\0model\0bootargs\0#address-cells\0#size-cells\0"
                            "timebase-frequency\0mmu-type\0linux,initrd-start\0linux,initrd-end";

static void walk_structure(const uint8_t *data, size_t size)
{
    static struct fdt_builder builder;

    if (size > FDT_BUILDER_BYTES / 2)
        return;
    fdt_build_start(&builder);
    memcpy(builder.strings, names, sizeof(names));
    builder.strings_bytes = sizeof(names);
    memcpy(builder.structure, data, size);
    builder.structure_bytes = ALIGN_UP(size, (size_t)4);
    fdt_build_finish(&builder);
    (void)fdt_walk(builder.blob, builder.blob_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] == MAGIC_FIRST_BYTE)
        (void)fdt_walk(data, size);
    else
        walk_structure(data, size);
    return 0;
}
