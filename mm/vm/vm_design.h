/*
 * What virtual memory is made of: the four choices that are compared. New address spaces are made by the design in
 * force; it changes only while the harts are quiet and no space exists, so a space never sees two, and
 * kernel_spaces_settle() follows.
 */
#ifndef MM_VM_VM_DESIGN_H
#define MM_VM_VM_DESIGN_H

#include "mm/vm/page_table.h"

struct shootdown_ops; /* smp/shootdown.h */

enum vm_split {
    VM_SPLIT_SHARED, /* user and kernel in one table: a trap changes no satp */
    VM_SPLIT_SEPARATE, /* the user runs on a table without the kernel: satp is switched at every trap */
};

enum vm_ptlock {
    VM_PTLOCK_SPACE = TABLE_LOCK_SPACE, /* one lock a space */
    VM_PTLOCK_NODE = TABLE_LOCK_NODE, /* a lock in every table, found by a descent without locks */
};

struct vm_design {
    enum vm_split split;
    enum vm_ptlock ptlock;
    bool asid; /* false: every switch of spaces flushes */
    const struct shootdown_ops *shootdown;
};

/* In force. */
extern struct vm_design vm_design;

/** vm_split_name_at, vm_asid_name_at, vm_ptlock_name_at - the i-th value of a choice by its name, as on the command line, of
 *  ASIDs first that there are some; NULL behind the last. */
const char *vm_split_name_at(size_t i);
const char *vm_asid_name_at(size_t i);
const char *vm_ptlock_name_at(size_t i);

#endif
