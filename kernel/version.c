/* The only file that knows the commit and the compiler, so that a commit rebuilds nothing else. The build includes
 * the generated header with the two macros. */
#include "kernel/version.h"

const char *const kernel_commit = HARTSCALE_COMMIT;
const char *const kernel_compiler = HARTSCALE_COMPILER;
const char *const kernel_flavour = HARTSCALE_CHECK ? "check" : "release";
