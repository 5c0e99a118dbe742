/* The design "llfree_locked": llfree.c with a lock around every change in place of every compare-and-swap. It
 * answers whether a curve of "llfree" is owed to its structure or to having no locks. */
#define LLFREE_LOCKED 1
#include "mm/frame/llfree.c"
