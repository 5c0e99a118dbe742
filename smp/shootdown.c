/* The schemes' table, and what is common to them: who is told, this hart's own flush, and the model's oracle. */
#include "smp/shootdown.h"
#include "smp/shootdown_private.h"
#include "trace/counter.h"

static const struct shootdown_ops *const schemes[] = {
    &shootdown_sbi,
    &shootdown_ipi,
    &shootdown_lazy,
    &shootdown_broadcast,
    &shootdown_tracked,
};

#define SETTINGS_DEFAULT                                                                                     \
    {                                                                                                        \
        .batch = true, .mask = true, .early = true                                                           \
    }

struct shootdown_settings shootdown_settings = SETTINGS_DEFAULT;

const struct shootdown_ops *shootdown_at(size_t i)
{
    return i < ARRAY_SIZE(schemes) ? schemes[i] : NULL;
}

const char *shootdown_name_at(size_t i)
{
    return i < ARRAY_SIZE(schemes) ? schemes[i]->name : NULL;
}

void shootdown_settings_default(void)
{
    shootdown_settings = (struct shootdown_settings)SETTINGS_DEFAULT;
    flush_set_threshold(FLUSH_THRESHOLD);
}

void shootdown_serve(void)
{
    shootdown_serve_posts();
    shootdown_serve_deferred();
}

hart_mask_t shootdown_everybody(void)
{
    hart_mask_t all = shootdown_settings.everybody;
    for (unsigned i = 0; i < hart_count() && shootdown_settings.everybody.bits == 0; i++) {
        /* Relaxed: a hart that is not online yet has used no translation of a user's. */
        if (atomic_load_explicit(&harts[i].online, memory_order_relaxed))
            all.bits |= hart_mask_one(i).bits;
    }
    return all;
}

void shootdown_dispatch(
    struct shootdown *ticket, const struct shootdown_ops *ops, hart_mask_t to, const struct flush *flush)
{
    unsigned self = hart_index();
    hart_mask_t others = hart_mask_without(to, self);
    ticket->ops = ops;
    ticket->flush = *flush;
    ticket->waiting = hart_mask_none();
    shootdown_begins(ticket, flush);
    if (others.bits) {
        counter_add(COUNTER_SHOOTDOWN, 1);
        counter_add(COUNTER_SHOOTDOWN_TARGETS, hart_mask_count(others));
        ops->dispatch(ticket, others, flush);
    }
    if (hart_mask_test(to, self))
        flush_self(flush_pack(flush));
}

void shootdown_wait(struct shootdown *ticket)
{
    if (ticket->waiting.bits)
        ticket->ops->wait(ticket);
    shootdown_returned(ticket, &ticket->flush);
}

void shootdown_now(const struct shootdown_ops *ops, hart_mask_t to, const struct flush *flush)
{
    struct shootdown ticket;
    shootdown_dispatch(&ticket, ops, to, flush);
    shootdown_wait(&ticket);
}
