/* Asks for work: one thread for each hart, pinned there, adds what it is told to a counter of its own and asks again, until it
 * is told 0. The kernel's tests resume it, as benchmarks do. */
#include "bench/user/user.h"
#include "lib/bits.h"

static _Atomic uint64_t sum;

static void work(void *argument)
{
    uint64_t words;
    expect_equal(thread_pin((unsigned)(uint64_t)argument), 0);
    while ((words = pause_work()) != 0) {
        expect_equal(current_hart(), (uint64_t)argument);
        atomic_fetch_add(&sum, words);
    }
}

int main(int argc, char **argv)
{
    static struct user_thread threads[64];
    uint64_t harts = harts_allowed(), first = harts & -harts;
    (void)argc;
    (void)argv;
    for (uint64_t left = harts & ~first; left; left &= left - 1) {
        unsigned hart = bits_lowest(left);
        expect_equal(thread_start(&threads[hart], work, (void *)(uint64_t)hart), 0);
    }
    work((void *)(uint64_t)bits_lowest(first));
    for (uint64_t left = harts & ~first; left; left &= left - 1)
        thread_join(&threads[bits_lowest(left)]);
    return (int)(atomic_load(&sum) & 0x7f);
}
