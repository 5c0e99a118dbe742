/*
 * The console: writers fill one line buffer, whole lines go to the firmware. The lock is a plain word, not
 * one of smp/'s, because this layer is below them and panic must be able to break it.
 */
#include <stdatomic.h>

#include "arch/console.h"
#include "arch/cpu.h"
#include "arch/hart.h"
#include "arch/image.h"
#include "arch/sbi.h"
#include "lib/string.h"

static struct {
    _Atomic(struct arch_hart *) owner;
    unsigned depth; /* of the owner's nested locks */
    size_t length;
    char line[512];
} console;

static void flush(void)
{
    size_t sent = 0;
    while (sent < console.length)
        sent += sbi_console_write(image_to_paddr(&console.line[sent]), console.length - sent);
    console.length = 0;
}

static void put(struct writer *writer, const char *bytes, size_t count)
{
    (void)writer;
    while (count > 0) {
        size_t chunk = MIN(count, sizeof(console.line) - console.length);
        memcpy(&console.line[console.length], bytes, chunk);
        console.length += chunk;
        bytes += chunk;
        count -= chunk;
        if (console.length == sizeof(console.line) || console.line[console.length - 1] == '\n')
            flush();
    }
}

static struct writer console_sink = {.put = put};

struct writer *console_writer(void)
{
    return &console_sink;
}

void console_lock(void)
{
    struct arch_hart *self = arch_hart_self();
    /* Relaxed: only this hart ever writes its own pointer here. */
    if (atomic_load_explicit(&console.owner, memory_order_relaxed) == self) {
        console.depth++;
        return;
    }
    struct arch_hart *nobody = NULL;
    /* Acquire, pairs with the release in console_unlock; on failure too, because GCC 12 takes the barriers from
     * the failure's order alone (arch/atomic.h). */
    while (!atomic_compare_exchange_weak_explicit(
        &console.owner, &nobody, self, memory_order_acquire, memory_order_acquire)) {
        nobody = NULL;
        cpu_relax();
    }
    console.depth = 1;
}

void console_unlock(void)
{
    if (--console.depth > 0)
        return;
    flush();
    /* Release (fence rw,w; sd): the buffer is empty before the next owner fills it. */
    atomic_store_explicit(&console.owner, NULL, memory_order_release);
}

void console_break(void)
{
    console.length = 0;
    console.depth = 0;
    atomic_store_explicit(&console.owner, NULL, memory_order_relaxed); /* the others were stopped */
}

void console_format(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    console_lock();
    writer_vformat(&console_sink, format, args);
    console_unlock();
    va_end(args);
}

size_t console_read(char *bytes, size_t capacity)
{
    static char typed[64]; /* in the image, so that the firmware can be told its address; one reader */
    size_t count = sbi_console_read(image_to_paddr(typed), MIN(capacity, sizeof(typed)));
    memcpy(bytes, typed, count);
    return count;
}
