/* What this kernel was built from and with. */
#ifndef KERNEL_VERSION_H
#define KERNEL_VERSION_H

extern const char *const kernel_commit; /* with "-dirty" where the tree was changed */
extern const char *const kernel_compiler; /* name and version */
extern const char *const kernel_flavour; /* "release" or "check" */

#endif
