/*
 * Records the heap calls of a program on a glibc system, as text for tools/heaptrace:
 *
 *     make heaptrace-preload
 *     HEAPTRACE=calls.txt LD_PRELOAD=$PWD/build/heaptrace-preload.so program
 *     tools/heaptrace convert calls.txt program.heaptrace
 *
 * The file must not exist yet: what the program starts finds it there and records nothing. So it has to be the program
 * itself, and no script that starts it. Lines are in an order in which the calls may have happened: a free is written before
 * it is done, everything else after it was, and a reallocation, which does both, while nobody else can write.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What is interposed, by the names that glibc has for it besides: dlsym() would allocate. */
extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *pointer, size_t bytes);
extern void *__libc_memalign(size_t align, size_t bytes);
extern void __libc_free(void *pointer);

#define PUBLIC __attribute__((visibility("default")))

/* The longest line is 5 words of up to 20 characters. */
#define LINE_BYTES 128

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char text[1 << 16];
static size_t used;
static int file = -1; /* -1: nothing is recorded */
static unsigned threads;
static __thread unsigned thread; /* from 1; 0: it has not called yet */

static void complain(const char *said)
{
    ssize_t ignored = write(STDERR_FILENO, said, strlen(said));
    (void)ignored;
}

/* Writes what there is; the lock is held. Of what cannot be written nothing more is recorded, and the user is told. */
static void flush(void)
{
    for (size_t done = 0; done < used && file >= 0;) {
        ssize_t count = write(file, text + done, used - done);
        if (count < 0 && errno != EINTR) {
            complain("heaptrace: cannot write the record; it ends here\n");
            file = -1;
        }
        done += count > 0 ? (size_t)count : 0;
    }
    used = 0;
}

static void put_word(const char *word)
{
    size_t length = strlen(word);
    memcpy(text + used, word, length);
    used += length;
    text[used++] = ' ';
}

static void put_number(uint64_t number, unsigned base)
{
    char digits[24], *at = digits + sizeof(digits);
    *--at = '\0';
    do
        *--at = "0123456789abcdef"[number % base];
    while (number /= base);
    if (base == 16) {
        *--at = 'x';
        *--at = '0';
    }
    put_word(at);
}

/* A line: the call's name, and for each character of the pattern a number: d decimal, p a pointer. The lock is held. */
static void put_line(const char *name, const char *pattern, ...)
{
    va_list args;
    if (file < 0)
        return;
    if (used + LINE_BYTES > sizeof(text))
        flush();
    if (thread == 0)
        thread = ++threads;
    put_word(name);
    va_start(args, pattern);
    for (; *pattern; pattern++)
        put_number(va_arg(args, size_t), *pattern == 'p' ? 16 : 10);
    va_end(args);
    put_number(thread - 1, 10);
    text[used - 1] = '\n';
}

#define RECORD(...)                                                                                          \
    do {                                                                                                     \
        pthread_mutex_lock(&lock);                                                                           \
        put_line(__VA_ARGS__);                                                                               \
        pthread_mutex_unlock(&lock);                                                                         \
    } while (0)

PUBLIC void *malloc(size_t bytes)
{
    void *pointer = __libc_malloc(bytes);
    if (pointer)
        RECORD("malloc", "dp", bytes, (size_t)pointer);
    return pointer;
}

PUBLIC void *calloc(size_t count, size_t bytes)
{
    void *pointer = __libc_calloc(count, bytes);
    if (pointer)
        RECORD("calloc", "ddp", count, bytes, (size_t)pointer);
    return pointer;
}

PUBLIC void free(void *pointer)
{
    if (pointer)
        RECORD("free", "p", (size_t)pointer);
    __libc_free(pointer);
}

PUBLIC void *realloc(void *old, size_t bytes)
{
    pthread_mutex_lock(&lock);
    void *pointer = __libc_realloc(old, bytes);
    if (pointer || bytes == 0)
        put_line("realloc", "pdp", (size_t)old, bytes, (size_t)pointer);
    pthread_mutex_unlock(&lock);
    return pointer;
}

PUBLIC void *memalign(size_t align, size_t bytes)
{
    void *pointer = __libc_memalign(align, bytes);
    if (pointer)
        RECORD("memalign", "ddp", align, bytes, (size_t)pointer);
    return pointer;
}

PUBLIC void *aligned_alloc(size_t align, size_t bytes)
{
    return memalign(align, bytes);
}

PUBLIC int posix_memalign(void **pointer, size_t align, size_t bytes)
{
    if (align < sizeof(void *) || (align & (align - 1)) != 0)
        return EINVAL;
    void *had = memalign(align, bytes);
    if (had)
        *pointer = had;
    return had ? 0 : ENOMEM;
}

/* A child of fork() has another heap from now on; its parent's record goes on. */
static void stop_in_child(void)
{
    file = -1;
    used = 0;
    pthread_mutex_unlock(&lock);
}

static void take_lock(void)
{
    pthread_mutex_lock(&lock);
}

static void drop_lock(void)
{
    pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("HEAPTRACE");
    if (!path)
        return;
    pthread_atfork(take_lock, drop_lock, stop_in_child);
    file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file < 0 && errno != EEXIST)
        complain("heaptrace: cannot create the file that HEAPTRACE names; nothing is recorded\n");
}

__attribute__((destructor)) static void end(void)
{
    pthread_mutex_lock(&lock);
    flush();
    pthread_mutex_unlock(&lock);
}

/* Shells end so, and no destructor is called. */
PUBLIC __attribute__((noreturn)) void _exit(int status)
{
    end();
    for (;;)
        syscall(SYS_exit_group, status);
}
