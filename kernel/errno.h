/* Linux's error numbers, as system calls answer them, negated. The same on all its architectures but a few old ones. */
#ifndef KERNEL_ERRNO_H
#define KERNEL_ERRNO_H

enum errno {
    EPERM = 1,
    ESRCH = 3,
    EINTR = 4,
    EIO = 5,
    EBADF = 9,
    ECHILD = 10,
    EAGAIN = 11,
    ENOMEM = 12,
    EACCES = 13,
    EFAULT = 14,
    EEXIST = 17,
    ENODEV = 19,
    EINVAL = 22,
    ENOSYS = 38,
    EOPNOTSUPP = 95,
    ETIMEDOUT = 110,
};

/** errno_of - the negated number that says the same as an error of lib/error.h; 0 for 0. */
long errno_of(int error);

#endif
