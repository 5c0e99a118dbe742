/*
 * Running one function on several harts at once: how the harness, the tests and the stress run get their
 * harts. Idle harts sleep in smp_idle() until a call comes.
 */
#ifndef SMP_CALL_H
#define SMP_CALL_H

#include "smp/hart.h"

/**
 * smp_call - run function(argument) on each hart of the mask and return when all have finished.
 * @mask: harts, all online; the caller's own hart runs its share too when it is in it
 *
 * One call at a time, from one thread of control: the boot hart's or that which it handed over to; interrupts on. The caller sleeps while others
 * run, so that it takes no host core from them. What the caller wrote before is visible to the function;
 * what the function wrote is visible to the caller after.
 */
void smp_call(hart_mask_t mask, void (*function)(void *argument), void *argument);

/** smp_hand_over - go on with function() on an online hart, which calls from now on; this one is idle. For what is to be the same
 *  whichever hart the firmware boots. The boot hart's thread of control, interrupts on; the function does not return. */
void smp_hand_over(unsigned hart, void (*function)(void *unused)) NORETURN;

/** smp_idle - the life of every hart but the one that calls: sleep, run calls. */
void smp_idle(void) NORETURN;

#endif
