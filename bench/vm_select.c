/* See vm_select.h: the choices that a design of virtual memory is, each with a key and the names of its values. */
#include "bench/vm_select.h"
#include "kernel/config.h"
#include "lib/select.h"
#include "lib/string.h"
#include "smp/shootdown.h"

#define CHOICE_DEFAULT "default"

/* Of every choice: its key, and what a design has where a workload is not about it and nobody chose. */
struct choice {
    const char *name, *initial;
    const char *(*value_at)(size_t i); /* NULL behind the last */
    void (*set)(struct vm_design *design, size_t i); /* to the i-th value */
    const char *(*value)(const struct vm_design *design);
    const char *given;
};

static void split_set(struct vm_design *design, size_t i)
{
    design->split = (enum vm_split)i;
}

static const char *split_value(const struct vm_design *design)
{
    return vm_split_name_at(design->split);
}

static void asid_set(struct vm_design *design, size_t i)
{
    design->asid = i == 0;
}

static const char *asid_value(const struct vm_design *design)
{
    return vm_asid_name_at(!design->asid);
}

static void ptlock_set(struct vm_design *design, size_t i)
{
    design->ptlock = (enum vm_ptlock)i;
}

static const char *ptlock_value(const struct vm_design *design)
{
    return vm_ptlock_name_at(design->ptlock);
}

static void shootdown_set(struct vm_design *design, size_t i)
{
    design->shootdown = shootdown_at(i);
}

static const char *shootdown_value(const struct vm_design *design)
{
    return design->shootdown->name;
}

/* In the order of enum bench_vm_choice. */
static struct choice choices[] = {
    {"split", "shared", vm_split_name_at, split_set, split_value, CHOICE_DEFAULT},
    {"asid", "on", vm_asid_name_at, asid_set, asid_value, CHOICE_DEFAULT},
    {"ptlock", "node", vm_ptlock_name_at, ptlock_set, ptlock_value, CHOICE_DEFAULT},
    {"shootdown", "tracked", shootdown_name_at, shootdown_set, shootdown_value, CHOICE_DEFAULT},
};

_Static_assert(ARRAY_SIZE(choices) == BENCH_VM_CHOICES, "one for each");

static int apply(enum bench_vm_choice which, const char *value, struct writer *why)
{
    choices[which].given = value;
    return strcmp(value, CHOICE_DEFAULT) == 0 ? 0 : select_check(value, choices[which].value_at, why);
}

#define CHOICE_KEY(which, key, values)                                                                       \
    static int apply_##key(const char *value, struct writer *why)                                            \
    {                                                                                                        \
        return apply(which, value, why);                                                                     \
    }                                                                                                        \
    CONFIG_KEY(key##_key, .name = #key, .valid = "comma list of " values ", or default",                     \
        .initial = CHOICE_DEFAULT, .apply = apply_##key)

CHOICE_KEY(BENCH_VM_SPLIT, split, "shared and separate: whether user and kernel have one page table");
CHOICE_KEY(BENCH_VM_ASID, asid, "on and off: whether spaces have identifiers in the TLB");
CHOICE_KEY(BENCH_VM_PTLOCK, ptlock, "space and node: what a lock of page tables covers");
CHOICE_KEY(BENCH_VM_SHOOTDOWN, shootdown, "schemes of TLB shootdown or globs");

static bool is_given(const struct choice *choice)
{
    return strcmp(choice->given, CHOICE_DEFAULT) != 0;
}

bool vm_select_is_all(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(choices); i++)
        if (is_given(&choices[i]))
            return false;
    return true;
}

const char *vm_choice_name(size_t i)
{
    return i < ARRAY_SIZE(choices) ? choices[i].name : NULL;
}

const char *vm_choice_value(const struct vm_design *design, size_t i)
{
    return choices[i].value(design);
}

struct walk {
    unsigned varies; /* of 1 << enum bench_vm_choice */
    void (*visit)(const struct vm_design *design, void *argument);
    void *argument;
    struct vm_design design;
};

static bool is_named(const struct choice *choice, const char *value)
{
    return value && (!is_given(choice) || select_match(choice->given, value));
}

/* What a workload that is not about the choice has there. */
static const char *only_value(const struct choice *choice)
{
    size_t i = 0;
    if (is_named(choice, choice->initial))
        return choice->initial;
    while (!is_named(choice, choice->value_at(i)))
        i++;
    return choice->value_at(i);
}

/* Of the choices before the i-th, the design has values already. */
static void walk_from(struct walk *walk, size_t i)
{
    const struct choice *choice = &choices[i];
    if (i == ARRAY_SIZE(choices)) {
        walk->visit(&walk->design, walk->argument);
        return;
    }
    for (size_t k = 0; choice->value_at(k); k++) {
        const char *value = choice->value_at(k);
        if (walk->varies >> i & 1 ? !is_named(choice, value) : strcmp(value, only_value(choice)) != 0)
            continue;
        choice->set(&walk->design, k);
        walk_from(walk, i + 1);
    }
}

void vm_select_each(
    unsigned varies, void (*visit)(const struct vm_design *design, void *argument), void *argument)
{
    struct walk walk = {.varies = varies, .visit = visit, .argument = argument};
    walk_from(&walk, 0);
}
