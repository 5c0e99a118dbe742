"""Translation under the model: what address space ids, forms of sfence.vma and faults cost, and what the oracle of stale
translations says. All of it is counted, so all of it is exact."""
from .experiments import Experiment, Row
from .lab import Trial

# As bench/model_tlb.c has them: pages loaded from in an operation of model.switch, and of model.flush in each kind.
SWITCH_PAGES = 8
FLUSH_PAGES = 4
# Translations that each form loses of 4 of the space's own and 4 global ones.
FORMS = {"none": 0, "page": 1, "global": 1, "page_asid": 1, "global_asid": 0, "other_asid": 0, "asid": FLUSH_PAGES,
         "all": 2 * FLUSH_PAGES}
# A trial, and the one with latencies: in each the first use is reported, and the entry stays as it is.
STALE_USES = 2


def per_op(result, counter):
    return result["counters"][counter] / result["ops"]


def switch(_):
    def judge(got):
        for asid, misses, flushes in (("on", 0, 0), ("off", SWITCH_PAGES, 1)):
            counts = tuple(per_op(got[asid][0], name) for name in ("tlb_miss_user", "sfence_all"))
            yield Row(f"change of address space and {SWITCH_PAGES} loads, {'with' if asid == 'on' else 'without'} ASIDs",
                      f"{misses} walks, {flushes} flushes", "%g walks, %g flushes" % counts, counts == (misses, flushes))
    return Experiment("switch", {asid: Trial(f"bench=model.switch tlb_asid={asid}", (1,)) for asid in ("on", "off")}, judge)


def flush(p):
    def judge(got):
        lost = [per_op(got[form][0], "tlb_miss_user") for form in FORMS]
        yield Row("sfence.vma: " + ", ".join(FORMS), "walks: " + ", ".join(map(str, FORMS.values())),
                  ", ".join(f"{n:g}" for n in lost), lost == list(FORMS.values()),
                  "loads from 4 pages of the space's own and 4 global ones")
        cycles = per_op(got["page"][0], "walk_cycles")
        yield Row("the same, a walk", f"{p.walk()} cycles", f"{cycles:g}", cycles == p.walk())
    return Experiment("flush", {form: Trial(f"bench=model.flush tlb_flush={form}", (1,)) for form in FORMS}, judge)


def fault(p):
    def judge(got):
        result = got["all"][0]
        counts = *(per_op(result, name) for name in ("page_fault", "tlb_miss")), result["attribution"]["trap"] / result["ops"]
        yield Row("a load that faults", f"1 trap of {p.trap} cycles, 1 walk", "%g trap, %g walk, %g cycles" %
                  (counts[0], counts[1], counts[2]), counts == (1, 1, p.trap))
    return Experiment("fault", {"all": Trial("bench=model.fault", (1,))}, judge)


def stale(_):
    plants = {"none": 0, "flush": STALE_USES, "asid": STALE_USES}
    names = {"none": "all harts flush", "flush": "one does not", "asid": "an ASID changes hands without a flush"}

    def judge(got):
        for plant, uses in plants.items():
            counted = [result["counters"]["stale"] for result in got[plant]]
            failed = [result["status"] != "ok" for result in got[plant]]
            yield Row(f"stale translations at 2 and 8 harts: {names[plant]}", f"{uses} uses, {'not ' if uses else ''}ok",
                      f"{counted[0]} and {counted[1]}, {'not ' if any(failed) else ''}ok",
                      counted == [uses] * 2 and failed == [uses > 0] * 2, "one a trial" if uses else "")
    return Experiment("stale", {plant: Trial(f"bench=model.stale tlb_plant={plant}", (2, 8), fails=plant != "none")
                                for plant in plants}, judge)
