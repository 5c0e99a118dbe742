/* Which designs of virtual memory to measure: the keys that choose, and the walk over what was chosen. */
#ifndef BENCH_VM_SELECT_H
#define BENCH_VM_SELECT_H

#include "bench/bench.h"

/** vm_select_each - call visit for every design that the keys split, asid, ptlock and shootdown have named, and that differs from
 *  the others in the choices of @varies (1 << enum bench_vm_choice each). Of the other choices all have the same: the
 *  usual one, or the first that was named where that was not. */
void vm_select_each(
    unsigned varies, void (*visit)(const struct vm_design *design, void *argument), void *argument);

/* All choices, for those who want every design. */
#define VM_EVERY_CHOICE ((1u << BENCH_VM_CHOICES) - 1)

/** vm_select_is_all - whether nobody chose. */
bool vm_select_is_all(void);

/** vm_choice_name - what the i-th choice that a design is made of is called, as in results; NULL behind the last.
 *  vm_choice_value - what a design has there. */
const char *vm_choice_name(size_t i);
const char *vm_choice_value(const struct vm_design *design, size_t i);

#endif
