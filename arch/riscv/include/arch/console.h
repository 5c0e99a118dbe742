/*
 * The console: SBI's debug console, a whole line at a time so that lines of different harts do not mix.
 * Callable from anywhere, traps included; never sleeps.
 */
#ifndef ARCH_CONSOLE_H
#define ARCH_CONSOLE_H

#include "lib/writer.h"

/** console_format - formatted text to the console, not torn by other harts' calls. */
void console_format(const char *format, ...) PRINTF_LIKE(1, 2);

/** console_lock, console_unlock - hold the console over several writes, to print a table or a JSON line.
 *  Nests on one hart. console_format takes it by itself. */
void console_lock(void);
void console_unlock(void);

/** console_writer - the console as a sink for writer_format() and json; hold console_lock(). Buffered by
 *  line; console_unlock() flushes. */
struct writer *console_writer(void);

/** console_read - take up to `capacity` bytes that were typed. Returns how many, 0 if none is waiting. */
size_t console_read(char *bytes, size_t capacity);

/** console_break - let go of the lock whoever holds it: for panic, whose other harts were stopped. */
void console_break(void);

#endif
