/* The console as the standard error stream or a buffer, panic as abort(), and a program without symbols. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "arch/console.h"
#include "arch/panic.h"
#include "arch/symbols.h"
#include "host.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t mutex;
static char kept[16384];
static struct buffer_writer kept_writer;
static bool capturing;

static void init(void)
{
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&mutex, &recursive);
}

static void put(struct writer *writer, const char *bytes, size_t count)
{
    (void)writer;
    if (capturing)
        kept_writer.writer.put(&kept_writer.writer, bytes, count);
    else
        fwrite(bytes, 1, count, stderr);
}

static struct writer console = {.put = put};

void console_lock(void)
{
    pthread_once(&once, init);
    pthread_mutex_lock(&mutex);
}

void console_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

void console_format(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    console_lock();
    writer_vformat(&console, format, args);
    console_unlock();
    va_end(args);
}

void host_console_capture(void)
{
    console_lock();
    buffer_writer_init(&kept_writer, kept, sizeof(kept));
    capturing = true;
    console_unlock();
}

const char *host_console_release(void)
{
    console_lock();
    capturing = false;
    console_unlock();
    return kept;
}

void panic(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}

const char *symbol_find(uint64_t address, uint64_t *offset)
{
    (void)address;
    (void)offset;
    return NULL;
}
