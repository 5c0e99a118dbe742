/* The design "nbbuddy_locked": nbbuddy.c with a lock around every operation in place of compare-and-swaps. It answers
 * whether a curve of "nbbuddy" is owed to its structure or to having no locks. */
#define NBBUDDY_LOCKED 1
#include "mm/heap/nbbuddy.c"
