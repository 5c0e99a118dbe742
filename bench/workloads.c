/* The table of workloads: a new one is a file and a line here. */
#include "bench/bench.h"
#include "bench/workloads.h"

static const struct workload *const workloads[] = {
    &workload_frame_churn,
    &workload_frame_zero,
    &workload_frame_batch,
    &workload_frame_bulk,
    &workload_frame_random,
    &workload_frame_remote,
    &workload_frame_mixed,
    &workload_frame_put,
    &workload_frame_share,
    &workload_frame_huge,
    &workload_frame_frag,
    &workload_frame_exhaust,
    &workload_heap_churn,
    &workload_heap_churn_4k,
    &workload_heap_live_500,
    &workload_heap_live_5k,
    &workload_heap_live_50k,
    &workload_heap_threadtest,
    &workload_heap_larson,
    &workload_heap_remote,
    &workload_heap_cache_scratch,
    &workload_heap_cache_thrash,
    &workload_heap_mixed,
    &workload_heap_realloc,
    &workload_heap_frag,
    &workload_heap_replay,
    &workload_heap_kernel,
    &workload_lock_counter,
    &workload_model_chase,
    &workload_model_pingpong,
    &workload_model_amo_shared,
    &workload_model_amo_private,
    &workload_model_write_packed,
    &workload_model_write_padded,
    &workload_model_ipi,
    &workload_model_switch,
    &workload_model_flush,
    &workload_model_fault,
    &workload_model_stale,
    &workload_vm_map_local,
    &workload_vm_map_untouched,
    &workload_vm_map_pipeline,
    &workload_vm_map_global,
    &workload_vm_fault,
    &workload_vm_fault_shared,
    &workload_vm_protect,
    &workload_vm_fork,
    &workload_vm_syscall,
    &workload_vm_tick,
    &workload_vm_shootdown,
    &workload_vm_switch,
};

const struct workload *workload_at(size_t i)
{
    return i < ARRAY_SIZE(workloads) ? workloads[i] : NULL;
}

const char *workload_name_at(size_t i)
{
    return i < ARRAY_SIZE(workloads) ? workloads[i]->name : NULL;
}
