/*
 * libFuzzer: bytes become a sequence of operations on a frame allocator, compared with the model step by step. The
 * first byte chooses the design, so that the fuzzer looks for the paths of each by itself; the next three the
 * arena and the number of harts; then two a step.
 */
#include "fuzz_designs.h"
#include "shim/frame_model.h"
#include "shim/host.h"

/* Enough to fill the largest arena here and empty it again; longer inputs only take longer. */
#define STEPS_MAX 50

static void wrong_free(struct frame_model *model, uint8_t seed)
{
    struct rng rng;
    rng_seed(&rng, seed, model->nheld);
    frame_model_misuse_any(model, &rng);
}

static void step(struct frame_model *model, uint8_t what, uint8_t argument)
{
    host_become_hart(argument % model->fa.nharts);
    switch (what % 8) {
    case 0:
    case 1: frame_model_alloc(model, 0); break;
    case 2: frame_model_alloc(model, argument % (FRAME_ORDER_MAX + 1)); break;
    case 3:
        for (unsigned i = 0; i < argument && !pfn_is_none(frame_model_alloc(model, 0)); i++)
            ;
        break;
    case 4:
        if (model->nblocks)
            frame_model_free(model, (what * 256u + argument) % model->nblocks);
        break;
    case 5:
        for (unsigned i = 0; i < argument && model->nblocks; i++)
            frame_model_free(model, model->nblocks - 1);
        break;
    case 6: wrong_free(model, argument); break;
    case 7:
        frame_drain(&model->fa);
        frame_model_check(model);
        break;
    }
}

static void run(const struct frame_allocator_ops *ops, const uint8_t *data, size_t size)
{
    struct frame_model model;
    size_t nframes = 1 + (data[0] | (data[1] & 0x0f) << 8);
    frame_model_init(&model, ops, &lock_tas, nframes, 1 + data[2] % HART_MAX);
    for (size_t i = 3; i + 1 < size && i < 3 + 2 * STEPS_MAX; i += 2)
        step(&model, data[i], data[i + 1]);
    frame_model_check(&model);
    frame_model_free_all(&model);
    frame_model_check(&model);
    host_become_hart(0);
    frame_model_destroy(&model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4)
        return 0;
    size_t count = 0, i = 0;
    while (frame_allocator_at(count))
        count++;
    host_console_capture();
    DESIGN_FOR_EACH (ops) {
        if (fuzz_chooses(data[0], i++, count))
            run(ops, data + 1, size - 1);
    }
    return 0;
}
