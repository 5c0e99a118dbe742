/* What the files of the schemes share among themselves. */
#ifndef SMP_SHOOTDOWN_PRIVATE_H
#define SMP_SHOOTDOWN_PRIVATE_H

#include "arch/cpu.h"
#include "arch/model.h"
#include "smp/ipi.h"
#include "smp/shootdown.h"

/** shootdown_everybody - whom a scheme tells that does not look at masks. */
hart_mask_t shootdown_everybody(void);

/** shootdown_begins - tell the model's oracle that one begins. Of a pair of ASIDs it hears as of two. */
static inline void shootdown_begins(const void *shootdown, const struct flush *flush)
{
    model_flushing(shootdown);
    if (unlikely(flush->pair))
        model_flushing((const char *)shootdown + 1);
}

/** shootdown_returned - tell the model's oracle that no hart may use any more what it had when shootdown_begins() was called
 *  with that pointer. */
static inline void shootdown_returned(const void *shootdown, const struct flush *flush)
{
    model_flushed(
        shootdown, flush->asid == FLUSH_EVERY_ASID ? MODEL_ASID_ALL : flush->asid, flush->first, flush->end);
    if (unlikely(flush->pair))
        model_flushed((const char *)shootdown + 1, flush->asid + 1u, flush->first, flush->end);
}

/** shootdown_relax - one turn of a wait. @polls: interrupts are off, so requests of others are served here */
static inline void shootdown_relax(bool polls)
{
    cpu_relax();
    if (polls)
        ipi_poll();
}

/** shootdown_serve_posts - take and do what is posted to this hart; interrupts off. */
void shootdown_serve_posts(void);

/** shootdown_serve_deferred - forget what others have deferred; interrupts off. */
void shootdown_serve_deferred(void);

/** shootdown_serve_broadcast - HART_REQUEST_BROADCAST has come; interrupts off. */
void shootdown_serve_broadcast(void);

#endif
