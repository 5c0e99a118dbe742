/* Fuzzes the reader of cpio archives: whatever the bytes, all that it shows lies inside of them, and it comes to an end. */
#include <stdlib.h>
#include <string.h>
#include "lib/cpio.h"
#include "lib/error.h"

static void require(bool condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cpio cpio;
    struct cpio_file file, same;
    const char *what = NULL;
    int found;

    cpio_open(&cpio, data, size);
    while ((found = cpio_next(&cpio, &file, &what)) == 1) {
        size_t name = strlen(file.name);
        require(name > 0 && name < CPIO_NAME_BYTES_MAX);
        require((const uint8_t *)file.name > data && (const uint8_t *)file.name + name < file.data);
        require(file.data <= data + size && file.bytes <= (size_t)(data + size - file.data));
        /* The first of that name, which is this one or one before it. */
        require(cpio_find(data, size, file.name, &same, &what) == 0 && same.data <= file.data);
    }
    require(found == 0 || (what != NULL && cpio.wrong <= size));
    require(found == 0 || found == ERR_FORMAT || found == ERR_TRUNCATED || found == ERR_UNSUPPORTED);
    return 0;
}
