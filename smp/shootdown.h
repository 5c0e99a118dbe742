/*
 * TLB shootdown: making other harts forget translations that a page table no longer has, by one of several schemes
 * behind one interface. It knows nothing of address spaces: the caller says which harts may have a translation, and what
 * of which ASID has changed. One file a scheme, shootdown_NAME.c; the table of them is in shootdown.c, the local flush in flush.c.
 *
 *   change the page table, under its lock; release the lock
 *   shootdown_dispatch(&ticket, ops, harts, &flush);
 *   work that does not need the frames back
 *   shootdown_wait(&ticket);
 *   give the frames back
 *
 * The caller's writes to the page table happen before whatever a target does after it was told (release in the
 * post, acquire in its taking), and the target's sfence.vma orders those before its walks. docs/shootdown.md.
 */
#ifndef SMP_SHOOTDOWN_H
#define SMP_SHOOTDOWN_H

#include "smp/flush.h"
#include "smp/hart.h"

struct shootdown;

/* A scheme. */
struct shootdown_ops {
    const char *name;

    /* Tell @to, online harts without the caller's, none of which may be forgotten before wait() has returned. Fills in
     * what wait() needs. @to is not empty. */
    void (*dispatch)(struct shootdown *ticket, hart_mask_t to, const struct flush *flush);

    /* Return when each has acknowledged. */
    void (*wait)(struct shootdown *ticket);

    bool lazy; /* what is freed goes to shootdown_defer(); what must take effect now is sent by `ipi` */
    bool
        lasting; /* the firmware is left in another state than it was in: what comes next of the kind may take longer or shorter */
    bool by_table; /* the caller's mask is that of the table pages, not of the space */
};

/* One shootdown under way, on the caller's stack from dispatch to wait. */
struct shootdown {
    const struct shootdown_ops *ops;
    hart_mask_t waiting; /* harts that had not acknowledged when wait() last looked */
    struct flush flush;
    uint32_t posted[HART_MAX]; /* of each of them: the number of the post to be acknowledged */
};

extern const struct shootdown_ops shootdown_sbi;
extern const struct shootdown_ops shootdown_ipi;
extern const struct shootdown_ops shootdown_broadcast;
extern const struct shootdown_ops shootdown_tracked;
extern const struct shootdown_ops shootdown_lazy;

/** shootdown_at - the i-th scheme; NULL behind the last. */
const struct shootdown_ops *shootdown_at(size_t i);

/** shootdown_name_at - its name, for select_check(). */
const char *shootdown_name_at(size_t i);

/**
 * shootdown_dispatch - tell harts to forget, and forget on this hart if it is among them.
 * @harts: online harts that may have the translations; may be empty
 * @flush: what; it is copied
 *
 * Returns before the others have done so, but for `sbi` and `broadcast`, which know no such thing. No lock is held that the
 * target of another shootdown may wait for with interrupts off: some schemes wait here, and serve others meanwhile.
 * Interrupts on or off. A hart may have several tickets under way, and waits for them in any order.
 */
void shootdown_dispatch(
    struct shootdown *ticket, const struct shootdown_ops *ops, hart_mask_t harts, const struct flush *flush);

/**
 * shootdown_wait - return when no hart of the ticket's uses the translations any more. No lock is held. Once a ticket. What
 * the others did by the old translations happens before the return (release by their acknowledgement, acquire here).
 * Interrupts on or off: requests of others are served meanwhile.
 */
void shootdown_wait(struct shootdown *ticket);

/** shootdown_now - both: for what must have taken effect, under every scheme. */
void shootdown_now(const struct shootdown_ops *ops, hart_mask_t harts, const struct flush *flush);

/* Something to be done when translations are gone, embedded in what it is about; kept by this hart until then. */
struct deferred {
    void (*done)(struct deferred *deferred);
    struct flush flush; /* a copy; shootdown_defer() fills it in */
};

/**
 * shootdown_defer - forget on this hart now if it is among @harts, and on the others when each next passes a quiescent
 * point; then call deferred->done(), on this hart, in a later shootdown_quiescent(), shootdown_defer() or shootdown_drain(),
 * with no lock held. Where there are no others it is called at once. Until then the addresses must not be mapped to
 * anything else: harts may still use what they remember.
 *
 * At most SHOOTDOWN_DEFERRED_MAX wait on a hart. Where there are more the harts that are late are interrupted and waited for
 * here, so no lock is held.
 */
void shootdown_defer(struct deferred *deferred, hart_mask_t harts, const struct flush *flush);

#define SHOOTDOWN_DEFERRED_MAX 64

/**
 * shootdown_quiescent - this hart uses no translation of a user's that it has not looked up anew since: forget what others have
 * deferred, and finish what this hart has deferred itself and all others have forgotten. When nothing is pending, two loads.
 *
 * On every trap from user mode, before a hart idles, and before it enters user mode. No lock held. Interrupts on or off.
 */
void shootdown_quiescent(void);

/** shootdown_drain - finish all that this hart has deferred, interrupting who is late. As shootdown_wait(). */
void shootdown_drain(void);

/** shootdown_reset - nothing has ever been deferred. All harts have drained and are quiet. */
void shootdown_reset(void);

/** shootdown_pending - how many this hart has deferred that are not done. */
unsigned shootdown_pending(void);

/** shootdown_serve - from the interrupt (HART_REQUEST_FLUSH), interrupts off: forget what others ask for. */
void shootdown_serve(void);

/*
 * What can be left out of scheme `ipi`, to see what it is worth; all on. They are changed while no shootdown is under
 * way. Boot keys shootdown.batch, .mask, .early, .threshold (kernel/shootdown_keys.c).
 */
struct shootdown_settings {
    bool batch; /* off: one request at a time to a hart, each with an interrupt of its own */
    bool mask; /* off: every hart of `everybody` is told, whatever the caller's mask says */
    bool early; /* off: acknowledgement after the flush */
    hart_mask_t
        everybody; /* for `broadcast` and !mask; none: all online harts. Who runs only some of the machine's harts
                            * under the model names those, as the others do not answer */
};

extern struct shootdown_settings shootdown_settings;

/** shootdown_settings_default - all on, everybody, the threshold as flush.h has it. */
void shootdown_settings_default(void);

#endif
