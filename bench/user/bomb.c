/* A fork bomb: every process forks until it is refused, then waits for all it has made. As the end of some is room for others,
 * all but the first stop after a while, too. The argument is how many KiB each child writes, so that it is memory that ends: then
 * processes are killed by faults that cannot be served. */
#include "bench/user/user.h"
#include "lib/number.h"

/* Time for every hart to be busy with it. */
#define BOMB_MS 300

static uint64_t bytes;

static void grow(void)
{
    long area = bytes ? map(0, bytes, PROT_READ | PROT_WRITE, 0) : 0;
    for (uint64_t at = 0; area > 0 && at < bytes; at += USER_PAGE)
        *(volatile uint64_t *)((uint64_t)area + at) = at;
}

static int64_t now_ms(void)
{
    struct timespec now;
    syscall(SYS_clock_gettime, 1, &now);
    return now.seconds * 1000 + now.nanoseconds / 1000000;
}

int main(int argc, char **argv)
{
    long error = 0, status = 0;
    int64_t end = now_ms() + BOMB_MS;
    bool first = true;
    if (argc > 1 && number_parse_range(argv[1], 0, 1 << 20, &bytes))
        return 2;
    bytes *= 1024;
    while (error >= 0 && (first || now_ms() < end)) {
        error = fork();
        if (error == 0) {
            first = false;
            grow();
        }
    }
    expect(error >= 0 || error == -EAGAIN || error == -ENOMEM);
    int child;
    while (wait_child(-1, &child, 0) > 0)
        if (child != 0 && child != SIGKILL)
            status = child;
    expect_equal(status, 0);
    return 0;
}
