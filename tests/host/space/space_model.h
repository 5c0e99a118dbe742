/*
 * Address spaces beside a model of them: for each a plain array of what its pages are and hold. Every call goes to both, made by one of
 * several harts with TLBs of their own, and a difference panics: in what a call answers, in what an access by any hart gives, in
 * what is mapped, and in the frames that are in use. For one thread, which is one hart after the other.
 */
#ifndef TESTS_HOST_SPACE_SPACE_MODEL_H
#define TESTS_HOST_SPACE_SPACE_MODEL_H

#include "lib/rng.h"
#include "mm/frame/frame_quarantine.h"
#include "mm/vm/space.h"
#include "smp/shootdown.h"

#define MODEL_HARTS  4u
#define MODEL_SPACES 5u

/* Around a corner of 1 GiB, with two of 2 MiB at its sides. */
#define MODEL_PAGES      ((size_t)1200)
#define MODEL_FIRST_PAGE ((size_t)(USER_MMAP_BASE + 0x40000000) / PAGE_BYTES - MODEL_PAGES / 2)

/* Frames of the kernel's, to be shown. */
#define MODEL_FRAMES 8u

struct model_page {
    bool mapped, foreign, may_write; /* the last two: a frame of the kernel's; with which it may have PTE_W */
    uint8_t rights;
    uint8_t frame; /* which of the kernel's */
    uint64_t value; /* of its first word; anonymous */
};

struct model_space {
    struct space *space; /* NULL: there is none */
    uint64_t brk;
    struct model_page pages[MODEL_PAGES];
};

struct space_model {
    struct space_pool pool;
    struct frame_refs refs;
    struct frame_allocator fa;
    struct frame_quarantine quarantine;
    void *queues; /* NULL: there is no quarantine */
    struct table_source tables;
    struct page_table kernel;
    pfn_t frames; /* the kernel's */
    uint64_t frame_values[MODEL_FRAMES];
    size_t base_frames; /* in use without a space */
    uint64_t next_value;
    struct model_space spaces[MODEL_SPACES];
    bool scarce; /* calls may find no memory */
};

/* Freed frames that wait in quarantine for each hart of models that begin from now on; 0: there is none. One that was written to
 * meanwhile is a panic. */
extern size_t space_model_room;

/** space_model_init - no space yet; a design is in force. @nframes: the machine has, up to 8192 */
void space_model_init(struct space_model *model, size_t nframes);

/** space_model_finish - end every space; all frames are back. */
void space_model_finish(struct space_model *model);

/** space_model_check - every page of every space, and what each says of itself. */
void space_model_check(struct space_model *model);

/** space_model_become - the calls that follow are made by this hart. */
void space_model_become(unsigned hart);

/* The calls, of the i-th space and pages of the window; they return what was answered. space_model_fork and _create do nothing if `to`
 * is there already, all others if there is no such space. */
int space_model_create(struct space_model *model, unsigned to);
int space_model_fork(struct space_model *model, unsigned from, unsigned to);
void space_model_end(struct space_model *model, unsigned i);
int space_model_map(
    struct space_model *model, unsigned i, size_t page, size_t npages, uint64_t rights, unsigned flags);
int space_model_map_frames(struct space_model *model, unsigned i, size_t page, unsigned frame, size_t npages,
    uint64_t rights, unsigned flags);
int space_model_unmap(struct space_model *model, unsigned i, size_t page, size_t npages);
int space_model_protect(struct space_model *model, unsigned i, size_t page, size_t npages, uint64_t rights);
int space_model_discard(struct space_model *model, unsigned i, size_t page, size_t npages);
void space_model_brk(struct space_model *model, unsigned i, uint64_t end);

/** space_model_access - this hart enters the space and reads, writes (something new) or fetches from a page. */
int space_model_access(struct space_model *model, unsigned i, size_t page, uint64_t access);

/** space_model_step - some call by the rng. */
void space_model_step(struct space_model *model, struct rng *rng);

#endif
