/*
 * libFuzzer: bytes become a sequence of operations on a heap, compared with the model step by step. The first byte chooses
 * the design, so that the fuzzer looks for the paths of each by itself; the next three the arena, the number of
 * harts and the guard; then three a step.
 */
#include "fuzz_designs.h"
#include "shim/heap_model.h"
#include "shim/host.h"

/* Enough to fill the arena and empty it again; longer inputs only take longer. */
#define STEPS_MAX 60

/* A size of every octave, exactly a power of two or near one. */
static size_t size_of(uint8_t argument)
{
    static const int near[] = {0, -1, 1, -16, 16, 24, -8, -100};
    size_t power = (size_t)1 << (3 + argument % 17);
    return power + near[argument / 17 % 8];
}

static void step(struct heap_model *model, uint8_t what, uint8_t argument, uint8_t more)
{
    struct rng rng;
    host_become_hart(more % model->heap.nharts);
    switch (what % 9) {
    case 0:
    case 1: heap_model_alloc(model, what * 4u, 1); break;
    case 2: heap_model_alloc(model, size_of(argument), 1); break;
    case 3: heap_model_alloc(model, size_of(argument), (size_t)1 << more % 15); break;
    case 4:
        for (unsigned i = 0; i < more && heap_model_alloc(model, argument * 8u, 1); i++)
            ;
        break;
    case 5:
        if (model->nblocks)
            heap_model_free(model, (argument * 256u + more) % model->nblocks);
        break;
    case 6:
        for (unsigned i = 0; i < argument && model->nblocks; i++)
            heap_model_free(model, more * 7u % model->nblocks);
        break;
    case 7:
        if (model->nblocks)
            heap_model_realloc(model, more % model->nblocks, size_of(argument));
        break;
    case 8:
        rng_seed(&rng, argument, more);
        heap_model_misuse_any(model, &rng);
        if (more % 8 == 0)
            heap_drain(&model->heap);
        if (more % 4 == 0)
            heap_model_check(model);
        break;
    }
}

static void run(const struct heap_ops *ops, const uint8_t *data, size_t size)
{
    struct heap_model model;
    heap_model_init(
        &model, ops, 1 + (data[0] | (data[1] & 1) << 8), 1 + data[1] / 2 % 8, data[2] & HEAP_GUARD);
    for (size_t i = 3; i + 2 < size && i < 3 + 3 * STEPS_MAX; i += 3)
        step(&model, data[i], data[i + 1], data[i + 2]);
    heap_model_check(&model);
    heap_model_free_all(&model);
    heap_model_check(&model);
    host_become_hart(0);
    heap_model_drained(&model);
    heap_model_destroy(&model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 5)
        return 0;
    size_t count = 0, i = 0;
    while (heap_design_at(count))
        count++;
    host_console_capture();
    HEAP_DESIGN_FOR_EACH(ops)
    {
        if (fuzz_chooses(data[0], i++, count))
            run(ops, data + 1, size - 1);
    }
    return 0;
}
