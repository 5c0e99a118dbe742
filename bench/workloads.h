/* Every workload, for the table in workloads.c. */
#ifndef BENCH_WORKLOADS_H
#define BENCH_WORKLOADS_H

struct workload;

extern const struct workload workload_frame_churn;
extern const struct workload workload_frame_zero;
extern const struct workload workload_frame_batch;
extern const struct workload workload_frame_bulk;
extern const struct workload workload_frame_random;
extern const struct workload workload_frame_remote;
extern const struct workload workload_frame_mixed;
extern const struct workload workload_frame_put;
extern const struct workload workload_frame_share;
extern const struct workload workload_frame_huge;
extern const struct workload workload_frame_frag;
extern const struct workload workload_frame_exhaust;
extern const struct workload workload_heap_churn;
extern const struct workload workload_heap_churn_4k;
extern const struct workload workload_heap_live_500;
extern const struct workload workload_heap_live_5k;
extern const struct workload workload_heap_live_50k;
extern const struct workload workload_heap_threadtest;
extern const struct workload workload_heap_larson;
extern const struct workload workload_heap_remote;
extern const struct workload workload_heap_cache_scratch;
extern const struct workload workload_heap_cache_thrash;
extern const struct workload workload_heap_mixed;
extern const struct workload workload_heap_realloc;
extern const struct workload workload_heap_frag;
extern const struct workload workload_heap_replay;
extern const struct workload workload_heap_kernel;
extern const struct workload workload_lock_counter;
extern const struct workload workload_model_chase;
extern const struct workload workload_model_pingpong;
extern const struct workload workload_model_amo_shared;
extern const struct workload workload_model_amo_private;
extern const struct workload workload_model_write_packed;
extern const struct workload workload_model_write_padded;
extern const struct workload workload_model_ipi;
extern const struct workload workload_model_switch;
extern const struct workload workload_model_flush;
extern const struct workload workload_model_fault;
extern const struct workload workload_model_stale;
extern const struct workload workload_vm_map_local;
extern const struct workload workload_vm_map_untouched;
extern const struct workload workload_vm_map_pipeline;
extern const struct workload workload_vm_map_global;
extern const struct workload workload_vm_fault;
extern const struct workload workload_vm_fault_shared;
extern const struct workload workload_vm_protect;
extern const struct workload workload_vm_fork;
extern const struct workload workload_vm_syscall;
extern const struct workload workload_vm_tick;
extern const struct workload workload_vm_shootdown;
extern const struct workload workload_vm_switch;

#endif
