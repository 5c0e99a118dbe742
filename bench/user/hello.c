/* Says its arguments. */
#include "bench/user/user.h"

int main(int argc, char **argv)
{
    print("hello from process %ld on hart %u:", syscall(SYS_getpid), current_hart());
    for (int i = 0; i < argc; i++)
        print(" %s", argv[i]);
    print("\n");
    return 0;
}
