/* Programs in U-mode, of bench/user/, on all the harts of the machine: what they check themselves, what they must not be able to
 * do, and that nothing of them is left. */
#include "arch/console.h"
#include "kernel/initrd.h"
#include "kernel/program.h"
#include "kernel/sched.h"
#include "lib/error.h"
#include "lib/string.h"
#include "mm/memory.h"
#include "mm/vm/vm_design.h"
#include "smp/call.h"
#include "smp/shootdown.h"
#include "smp/epoch.h"
#include "smp/shootdown.h"
#include "tests/kernel/test.h"
#include "trace/inject.h"

/* What wait4() tells of a program that has run, with up to two arguments. */
static int status_of(const char *name, const char *first, const char *second)
{
    const char *argv[] = {name, first, second};
    char text[200];
    int status = -1;
    struct buffer_writer why;
    buffer_writer_init(&why, text, sizeof(text));
    int error = program_run(second ? 3 : first ? 2 : 1, argv, &status, &why.writer);
    if (error)
        console_format("# %s: %s\n", name, text);
    return status;
}

/* Frames that are free or the heap's, which keeps some for later. */
static size_t frames_left(void)
{
    struct heap_stats stats;
    shootdown_drain();
    epoch_drain();
    heap_stats(&kernel_heap, &stats);
    CHECK(frame_validate(&kernel_frames, kernel_frames.nframes - frame_free_count(&kernel_frames)) == 0);
    return frame_free_count(&kernel_frames) + stats.reserved_bytes / PAGE_BYTES;
}

/* The same, and that all frames come back. */
static void check_program(const char *name, const char *first, const char *second, int wanted)
{
    size_t before = frames_left();
    int status = status_of(name, first, second);
    if (status != wanted)
        console_format("# %s %s: status %#x, not %#x\n", name, first ? first : "", status, wanted);
    CHECK(status == wanted);
    CHECK(frames_left() == before);
}

TEST(user_hello)
{
    check_program("hello", "world", NULL, 0);
}

TEST(user_faults_end_the_process_only)
{
    static const struct {
        const char *name;
        int signal;
    } kinds[] = {
        {"read_null", SIGNAL_SEGV},
        {"write_null", SIGNAL_SEGV},
        {"read_kernel", SIGNAL_SEGV},
        {"write_kernel", SIGNAL_SEGV},
        {"read_direct", SIGNAL_SEGV},
        {"read_far", SIGNAL_SEGV},
        {"write_text", SIGNAL_SEGV},
        {"run_data", SIGNAL_SEGV},
        {"run_kernel", SIGNAL_SEGV},
        {"run_null", SIGNAL_SEGV},
        {"illegal", SIGNAL_ILL},
        {"breakpoint", SIGNAL_TRAP},
        {"privileged", SIGNAL_ILL},
        {"supervisor_return", SIGNAL_ILL},
        {"wild_stack", SIGNAL_SEGV},
        {"overflow_stack", SIGNAL_SEGV},
        {"return_unmapped", SIGNAL_SEGV},
        {"write_protected", SIGNAL_SEGV},
    };
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        check_program("fault", kinds[i].name, NULL, STATUS_KILLED(kinds[i].signal));
}

TEST(user_memory_is_as_on_linux)
{
    check_program("memory", NULL, NULL, 0);
}

TEST(user_pointers_are_not_trusted)
{
    check_program("errors", NULL, NULL, 0);
}

TEST(user_processes_fork_and_wait)
{
    for (unsigned i = 0; i < 3; i++)
        check_program("forks", NULL, NULL, 0);
}

TEST(user_fork_bomb_ends_in_errors)
{
    check_program("bomb", NULL, NULL, 0);
}

/* As memory ends, a page that cannot be had kills who wants it: the first one, too. */
TEST(user_fork_bomb_takes_all_memory)
{
    size_t before = frames_left();
    int status = status_of("bomb", "512", NULL);
    CHECK(status == 0 || status == STATUS_KILLED(SIGNAL_KILL));
    CHECK(frames_left() == before);
}

TEST(user_system_calls_may_be_anything)
{
    check_program("fuzz", "1", "5000", 0);
    check_program("fuzz", "2", "5000", 0);
}

TEST(user_threads)
{
    check_program("threads", "mutex", NULL, 0);
    check_program("threads", "futex", NULL, 0);
    check_program("threads", "pin", NULL, 0);
    check_program("threads", "sleep", NULL, 0);
    check_program("threads", "registers", NULL, 0);
}

TEST(user_threads_go_where_they_may)
{
    check_program("races", "ends_elsewhere", NULL, 0);
    check_program("races", "threads_spread", NULL, 0);
    for (unsigned i = 0; i < 5; i++)
        check_program("races", "moved_while_ready", NULL, 0);
}

/* Spaces of every design, in the hands of programs. */
TEST(user_programs_run_in_every_design)
{
    const struct vm_design before = vm_design;
    for (unsigned i = 0; shootdown_at(i); i++) {
        for (unsigned k = 0; k < 4; k++) {
            vm_design.shootdown = shootdown_at(i);
            vm_design.ptlock = k & 1 ? VM_PTLOCK_NODE : VM_PTLOCK_SPACE;
            vm_design.asid = k & 2;
            check_program("memory", NULL, NULL, 0);
            check_program("races", "little_of_all", NULL, 0);
            check_program("races", "ends_elsewhere", NULL, 0);
            check_program("fuzz", "3", "30", 0);
            shootdown_drain();
        }
    }
    vm_design = before;
}

/* The n-th thing that a program, its child and its thread need cannot be had. */
static void end_memory_anywhere(void)
{
    static const enum inject points[] = {INJECT_THREAD, INJECT_PAGE, INJECT_TABLE, INJECT_GROW};
    const char *argv[] = {"races", "little_of_all"};
    char text[200];
    struct buffer_writer why;
    size_t before = frames_left();
    for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
        for (uint64_t n = 1, passed = n; passed + 1 >= n; n++) {
            int status = 0;
            buffer_writer_init(&why, text, sizeof(text));
            inject_arm(points[i], n);
            program_run(2, argv, &status, &why.writer);
            passed = inject_passed(points[i]);
            inject_arm(points[i], 0);
            CHECK((status & 0x7f) == 0 || status == STATUS_KILLED(SIGNAL_KILL));
            CHECK(status >> 8 != 1);
            CHECK(frames_left() == before);
        }
    }
}

/* Of `tracked` each hart has tables of its own, so a thread's last word to whoever joins it may need one. */
TEST(user_memory_may_end_anywhere)
{
    const struct vm_design before = vm_design;
    end_memory_anywhere();
    vm_design.shootdown = &shootdown_tracked;
    end_memory_anywhere();
    vm_design = before;
}

TEST(user_threads_end_with_their_process)
{
    for (unsigned i = 0; i < 10; i++)
        check_program("threads", "exit_group", NULL, STATUS_EXITED(7));
    check_program("threads", "fault", NULL, STATUS_KILLED(SIGNAL_SEGV));
    check_program("races", "ends_in_a_write", NULL, 0);
}

static struct process *worker;

static void resume(void *argument)
{
    struct thread *thread = process_paused_thread(worker, hart_index());
    uint64_t words = *(uint64_t *)argument;
    CHECK(thread);
    for (unsigned i = 0; thread && i < 20 && words != 0; i++)
        CHECK(thread_resume(thread, words) == 0);
}

static struct family *start_worker(void)
{
    const char *argv[] = {"work"};
    char text[200] = "";
    struct buffer_writer why;
    buffer_writer_init(&why, text, sizeof(text));
    struct family *family = program_load("work", 1, argv, &why.writer);
    if (!family)
        console_format("# %s\n", text);
    CHECK(family);
    return family;
}

TEST(user_threads_pause_and_are_resumed)
{
    size_t before = frames_left();
    struct family *family = start_worker();
    uint64_t words = 3;
    if (!family)
        return;
    worker = family->root;
    CHECK(family_run(family) == ERR_STATE); /* at rest: all of them have paused */
    smp_call(hart_mask_first(hart_count()), resume, &words);
    for (unsigned i = 0; i < hart_count(); i++) {
        struct thread *thread = process_paused_thread(worker, i);
        CHECK(thread);
        if (thread)
            thread_answer_pause(thread, 0);
    }
    CHECK(family_run(family) == 0);
    CHECK(worker->status == STATUS_EXITED((int)(20 * 3 * hart_count()) & 0x7f));
    family_destroy(family);
    CHECK(frames_left() == before);
}

TEST(user_threads_that_pause_can_be_ended)
{
    size_t before = frames_left();
    struct family *family = start_worker();
    if (!family)
        return;
    CHECK(family_run(family) == ERR_STATE);
    family_kill(family);
    CHECK(family_run(family) == 0);
    CHECK(family->root->status == STATUS_KILLED(SIGNAL_KILL));
    family_destroy(family);
    CHECK(frames_left() == before);
}

/* The file begins as a program should, and then it does not. */
TEST(user_programs_that_are_none_are_refused)
{
    static char file[] = "\177ELF\2\1\1 and nothing of the kind";
    const char *argv[] = {"none"};
    char text[200] = "";
    struct buffer_writer why;
    int status;
    buffer_writer_init(&why, text, sizeof(text));
    CHECK(!program_load_file(file, sizeof(file), 1, argv, &why.writer));
    CHECK(why.length > 0);
    buffer_writer_init(&why, text, sizeof(text));
    CHECK(program_run(1, argv, &status, &why.writer) == ERR_NOT_FOUND);
    CHECK(why.length > 0);
}
