"""A strict reading of the result format in docs: every field, its type, and what must hold between fields."""

LATENCY = ("p50", "p90", "p99", "p999", "max")
COUNTERS = ("refill", "drain", "lock_acquire", "lock_contend", "line_transfer", "ipi", "sfence")
MEMORY = ("arena_frames", "metadata_bytes", "stranded_frames", "stranded_frames_max", "fragmentation")
HEAP_MEMORY = ("arena_frames", "metadata_bytes", "live_bytes", "block_bytes", "reserved_bytes", "reserved_bytes_max",
               "fragmentation")
# What may be null: what the clock or the allocator gives no way to know.
UNKNOWN = {"line_transfer", "fragmentation"}
AXES = ("frame", "heap", "lock", "shootdown")
# A design of virtual memory is all of them.
VM_CHOICES = ("split", "asid", "ptlock", "shootdown")
# name: (types, whether null may stand for "not known here")
MEASURED = {
    "ops": ((int,), False), "cycles": ((int,), False), "ops_per_sec": ((int, float), False),
    "cycles_per_op": ((int, float), True), "insns_per_op": ((int, float), True), "speedup": ((int, float), True),
    "efficiency": ((int, float), True), "latency": ((dict,), True), "fairness": ((int, float), False),
    "counters": ((dict,), False), "memory": ((dict,), False), "trials": ((int,), False), "spread": ((dict,), False),
}
# Beyond DESIGN's fields, where they apply: how long frees took, and what a workload was set to.
OPTIONAL = ("latency_free", "parameters")
# What a workload finds besides: further distributions (null when empty) and figures, all of them always there.
OF_WORKLOAD = {
    "frame.frag": (("latency_none",), ("huge_had", "huge_ideal", "free_frames", "occupancy")),
    "frame.exhaust": (("latency_last",), ("last_frames", "slack_frames", "cycles_per_op_before", "cycles_per_op_last")),
    "heap.frag": ((), ("live_bytes", "block_bytes", "reserved_bytes", "reserved_bytes_peak", "reserved_per_live",
                       "internal_fragmentation", "external_fragmentation")),
}
for replay in ("heap.replay", "heap.kernel"):
    OF_WORKLOAD[replay] = ((), ("calls", "copies", "handed", "peak_bytes", "balance"))
for vm in ("map_local", "map_untouched", "map_pipeline", "map_global", "fault", "fault_shared", "protect", "fork", "syscall", "tick",
           "shootdown", "switch"):
    OF_WORKLOAD[f"vm.{vm}"] = ((), ("frames",))
# Of these the operations are one hart's, who waits for the others.
OF_ONE_HART = {"vm.shootdown"}
# Their operation is something had, and there may be nothing to be had: the one case in which a rate may be 0.
MAY_FIND_NOTHING = {"frame.frag"}
# They allocate for a while and free for a while: a short trial of a slow heap has the one or the other only.
IN_PHASES = {"heap.threadtest", "heap.mixed"}
# Under the model only: where an operation's cycles went, and what happened.
CAUSES = ("compute", "miss", "queue", "tlb", "store_drain", "atomic", "trap", "ipi_wait", "spin", "mmio")
EVENTS = ("insns", "line_transfer", "invalidation", "l2_hit", "llc_hit", "dram", "tlb_miss", "tlb_miss_user", "walk_cycles",
          "sfence_page", "sfence_all", "page_fault", "model_ipi", "rescue", "stale")
ALWAYS = {"bench": ((str,), False), "variant": ((dict,), False), "harts": ((int,), False), "clock": ((str,), False),
          "profile": ((str,), True), "status": ((str,), False)}
RUN = {"status": str, "start": str, "duration_s": float, "clock": str, "harts_max": int, "bootargs": str, "commit": str,
       "dirty": bool, "compiler": str, "qemu": str, "opensbi": str, "host": dict, "command": list, "qemu_command": list,
       "planned": int, "measured": int, "failed": int, "guest": dict}


class Invalid(AssertionError):
    """A result that is not as documented."""


def _require(condition, message):
    if not condition:
        raise Invalid(message)


def _is(value, types):
    return isinstance(value, types) and (bool in types or not isinstance(value, bool))


def _fields(result, fields):
    for name, (types, nullable) in fields.items():
        _require(name in result, f"{name} is missing: {result}")
        value = result[name]
        _require((value is None and nullable) or _is(value, types), f"{name} is {value!r}: {result}")


def _numbers(group, names, types, what):
    _require(set(names) <= set(group), f"{what} lacks {set(names) - set(group)}")
    for name, value in group.items():
        _require(_is(value, types) and value >= 0, f"{what}.{name} is {value!r}")


def _close(a, b, what, relative=0.01):
    _require(abs(a - b) <= relative * max(abs(a), abs(b), 1e-3), f"{what}: {a} and {b} disagree")


def _known(group):
    return {name: value for name, value in group.items() if value is not None or name not in UNKNOWN}


def _percentiles(group, what):
    _numbers(group, LATENCY, (int, float), what)
    order = [group[name] for name in LATENCY]
    _require(order == sorted(order), f"{what}: percentiles descend: {order}")


def _modelled(result):
    """The causes add up to the hart's spans, less the start until a hart is out of the barrier and declared pauses."""
    _require(isinstance(result.get("attribution"), dict), "attribution is missing")
    _require(set(result["attribution"]) == set(CAUSES), f"causes: {sorted(result['attribution'])}")
    _numbers(result["attribution"], CAUSES, (int,), "attribution")
    _numbers(result["counters"], EVENTS, (int,), "counters")
    _require(result["counters"]["rescue"] == 0, "harts were let go out of order")
    _require(result["counters"]["stale"] == 0, "stale translations were used")
    _require(result["trials"] == 1 and result["spread"]["min"] == result["spread"]["max"], "several trials")
    _require(isinstance(result["profile"], str), "no profile")
    _require(result["ops"] == 0 or isinstance(result["insns_per_op"], (int, float)), "no instruction count")
    if result["bench"] != "frame.random":
        _require(sum(result["attribution"].values()) <= 1.001 * result["cycles"], "more causes than cycles")


def _own(result):
    """What this workload alone has, besides; returns the names of its fields."""
    latencies, figures = OF_WORKLOAD.get(result["bench"], ((), ()))
    for name in latencies:
        _require(name in result, f"{name} is missing")
        if result[name] is not None:
            _percentiles(result[name], name)
    if not figures:
        return set()
    if result["bench"] == "vm.shootdown":
        figures = (*figures, *(f"unmap_{targets}" for targets in shootdown_targets(result["harts"])))
    _require(set(result.get("figures", {})) == set(figures), f"figures: {result.get('figures')}")
    _numbers(_known_figures(result["figures"]), set(), (int, float), "figures")
    return {*latencies, "figures"}


def shootdown_targets(harts):
    """How many other harts had the page in vm.shootdown: eight different numbers at most."""
    others = harts - 1
    return list(range(others + 1)) if others < 8 else sorted({0, others, *(1 << i for i in range(6) if 1 << i < others)})


def _known_figures(figures):
    """Those that are not quotients of nothing."""
    return {name: value for name, value in figures.items() if value is not None}


def _heap_memory(memory):
    _require(set(memory) == set(HEAP_MEMORY), f"memory has {sorted(memory)}")
    _numbers(_known(memory), set(HEAP_MEMORY) - UNKNOWN, (int, float), "memory")
    # What the workload asked for is inside blocks, these are in pages, and these are the arena's.
    ordered = [memory[name] for name in ("live_bytes", "block_bytes", "reserved_bytes", "reserved_bytes_max")]
    _require(ordered == sorted(ordered) and ordered[-1] <= memory["arena_frames"] * 4096, f"memory: {memory}")
    if memory["reserved_bytes"]:
        _close(memory["fragmentation"], 1 - memory["live_bytes"] / memory["reserved_bytes"], "fragmentation")
    _require((memory["fragmentation"] is None) == (memory["reserved_bytes"] == 0), f"memory: {memory}")


def _memory(memory, bench):
    if bench.startswith("heap."):
        _heap_memory(memory)
        return
    _require(set(memory) == set(MEMORY), f"memory has {sorted(memory)}")
    _numbers(_known(memory), set(MEMORY) - UNKNOWN, (int, float), "memory")
    _require(memory["stranded_frames"] <= memory["stranded_frames_max"] <= memory["arena_frames"], f"memory: {memory}")
    _require((memory["arena_frames"] > 0) == bench.startswith("frame."), f"arena_frames of {bench}: {memory}")
    if memory["fragmentation"] is not None:
        _require(memory["fragmentation"] <= 1, f"fragmentation is {memory['fragmentation']}")


def check_result(result):
    """Raise Invalid unless the data point is as documented."""
    _fields(result, ALWAYS)
    _require(result["status"] in ("ok", "failed"), f"status is {result['status']}")
    _require(result["clock"] in ("host", "model"), f"clock is {result['clock']}")
    _require(1 <= result["harts"] <= 64, f"harts is {result['harts']}")
    _require("." in result["bench"], f"bench is {result['bench']}")
    _require(result["variant"] and all(_is(v, (str, int)) for v in result["variant"].values()), "variant is empty or deep")
    _require(set(AXES) & set(result["variant"]), f"variant has none of {AXES}")
    if result["bench"].startswith("vm."):
        _require(tuple(result["variant"]) == VM_CHOICES, f"variant is {result['variant']}")
    if result["status"] == "failed":
        _require(result.get("reason"), f"failed without a reason: {result}")
        return
    _require("reason" not in result, "a reason though it is ok")
    _fields(result, MEASURED)
    if result["clock"] == "model":
        _modelled(result)
    known = {*ALWAYS, *MEASURED, *OPTIONAL, *_own(result)}
    extra = set(result) - known - ({"attribution"} if result["clock"] == "model" else set())
    _require(not extra, f"fields that nobody has documented: {extra}")
    nothing = result["bench"] in MAY_FIND_NOTHING and result["ops"] == 0
    _require(nothing or result["cycles_per_op"] is not None, "nothing was measured")
    _require(nothing or result["latency"] is not None or (result["bench"] in IN_PHASES and result["latency_free"] is not None),
             "no latency was measured")
    for name in ("latency", "latency_free"):
        if result.get(name) is not None:
            _percentiles(result[name], name)
    _numbers(_known(result["counters"]), set(COUNTERS) - UNKNOWN, (int,), "counters")
    _memory(result["memory"], result["bench"])
    _require(set(COUNTERS) <= set(result["counters"]), "a counter is missing")
    _numbers(result["spread"], ("min", "max"), (int, float), "spread")
    _require(nothing or (result["ops"] > 0 and result["ops_per_sec"] > 0), "nothing was done")
    _require(result["spread"]["min"] <= result["ops_per_sec"] * 1.001, "the worst trial is better than the median")
    _require(result["spread"]["max"] >= result["ops_per_sec"] * 0.999, "the best trial is worse than the median")
    _require(1 / result["harts"] - 0.001 <= result["fairness"] <= 1.001, f"fairness is {result['fairness']}")
    _require((result["speedup"] is None) == (result["efficiency"] is None), "speedup without efficiency")
    if result["speedup"] is not None:
        _close(result["speedup"], result["efficiency"] * result["harts"], "speedup and efficiency times harts")


def check_run(run):
    for name, kind in RUN.items():
        _require(_is(run.get(name), (kind,)), f"run.json: {name} is {run.get(name)!r}")
    _require("profile" in run and "reason" in run, "run.json lacks profile or reason")
    _require(set(run["host"]) >= {"cores", "cpu", "system"}, f"run.json: host is {run['host']}")


def check_set(results):
    """What must hold between the points of a complete run: none twice, and speedup relative to one hart."""
    seen = {}
    for result in results:
        check_result(result)
        key = (result["bench"], tuple(sorted(result["variant"].items())), result["harts"])
        _require(key not in seen, f"measured twice: {key}")
        seen[key] = result
    for (bench, variant, harts), result in seen.items():
        base = seen.get((bench, variant, 1))
        if result["status"] != "ok" or base is None or base["status"] != "ok":
            continue
        _require(result["speedup"] is not None or base["ops"] == 0, f"no speedup though one hart was measured: {bench} {variant} {harts}")
        if base["ops"]:
            _close(result["speedup"], result["ops_per_sec"] / base["ops_per_sec"], f"speedup of {bench} {variant} {harts}")
