"""`make bench` with the real kernel: results in the documented form, and bad names answered by the valid ones."""
import os
import secrets
import signal
import unittest

import schema
import support
from support import RUN, alive, make, run, wait_until

# An allocate/free pair on the fast path of per-hart caches: the project's own promise. The benchmark's loop adds its
# count, its branch, the test for an exhausted arena and a share of a look at the clock.
HOT_PATH_INSNS_MAX = 60
LOOP_INSNS = 7
# An allocation and a free of a heap's block, in the same way: 62 by GCC 12 and 64 by GCC 14. The promise is 70.
HEAP_INSNS_MAX = 65
# Heaps with one lock around everything.
ONE_LOCK = {"bestfit", "firstfit", "buddy", "treebuddy"}
# A free that takes as many steps as there are free blocks in front of it: what that one is measured for.
LINEAR_FREE = {"firstfit"}
# What frame_put() adds to frame_free(): is it of the arena, where is its count, is it 0.
PUT_INSNS_MAX = 12


class BenchTest(support.TestCase):
    def bench(self, *words, **environment):
        return make("bench", "QUICK=1", f"OUT={self.out}", *words, **environment)

    def test_every_benchmark(self):
        done = self.bench("HARTS=1,2")
        self.assert_ok(done)
        results = self.lines()
        schema.check_set(results)
        schema.check_run(self.run_json())
        self.assertEqual({r["status"] for r in results}, {"ok"})
        self.assertEqual({r["harts"] for r in results}, {1, 2})
        names = {r["bench"] for r in results}
        self.assertLessEqual({"frame.churn", "frame.batch", "frame.bulk", "frame.random", "frame.remote", "frame.mixed",
                              "frame.put", "frame.share", "frame.huge", "frame.frag", "frame.exhaust", "lock.counter"},
                             names)
        self.assertLessEqual({"bitmap", "hartcache"}, {r["variant"].get("frame") for r in results})
        for name in names:
            self.assertIn(name, done.out)
            for figure in ("throughput", "cycles", "latency", "fairness", *(["waste"] if name.startswith("frame.") else [])):
                for ending in ("svg", "png"):
                    path = os.path.join(self.out, "plots", f"{name}.{figure}.{ending}")
                    self.assertTrue(os.path.getsize(path), path)

    def test_selection(self):
        self.assert_ok(self.bench("HARTS=1,3", "BENCH=frame.c*", "FRAME=hartcache", "LOCK=mcs,ticket"))
        got = [(r["bench"], r["variant"]["frame"], r["variant"]["lock"], r["harts"]) for r in self.lines()]
        self.assertEqual(sorted(got), [("frame.churn", "hartcache", lock, harts)
                                       for lock in ("mcs", "ticket") for harts in (1, 3)])

    def test_heaps(self):
        """Those are measured when they are named, and behind one lock none is faster with more harts."""
        self.assert_ok(self.bench("HARTS=1,2", "BENCH=heap.*"))
        results = self.lines()
        schema.check_set(results)
        self.assertEqual({r["status"] for r in results}, {"ok"})
        self.assertLessEqual({"heap.churn", "heap.churn_4k", "heap.threadtest", "heap.larson", "heap.remote", "heap.cache_scratch",
                              "heap.cache_thrash", "heap.mixed", "heap.realloc", "heap.frag"}, {r["bench"] for r in results})
        self.assertLessEqual(ONE_LOCK, {r["variant"]["heap"] for r in results})
        for result in results:
            if result["variant"]["heap"] in ONE_LOCK and result["bench"] == "heap.churn":
                self.assertLess(result["speedup"], 1.5, result)
                self.assertEqual(result["memory"]["reserved_bytes"], 65536)

    def test_a_free_costs_as_much_among_many_blocks(self):
        """Exact under the model, and the caches' part is not in it: a hundred times as many live blocks, the same work."""
        self.assert_ok(self.bench("HARTS=1", "BENCH=heap.live_500,heap.live_50k", "HEAP=*"))
        insns = {(r["bench"], r["variant"]["heap"]): r["insns_per_op"] for r in self.lines()}
        heaps = {heap for _, heap in insns}
        self.assertLessEqual(ONE_LOCK, heaps)
        for heap in heaps:
            growth = insns["heap.live_50k", heap] / insns["heap.live_500", heap]
            if heap in LINEAR_FREE:
                self.assertGreater(growth, 50, heap)
            else:
                self.assertLess(growth, 1.5, heap)

    def test_selection_of_heaps(self):
        self.assert_ok(self.bench("HARTS=2", "HEAP=first*", "LOCK=mcs"))
        self.assertEqual({(r["bench"].split(".")[0], r["variant"]["heap"], r["variant"]["lock"]) for r in self.lines()},
                         {("heap", "firstfit", "mcs")})

    def test_references_cost_nothing_between_harts_that_do_not_share(self):
        """Exact under the model: no line moves for a put of an exclusive frame, however many harts put theirs."""
        self.assert_ok(self.bench("HARTS=1,4", "BENCH=frame.churn,frame.put,frame.share", "FRAME=hartcache"))
        insns, transfers = {}, {}
        for result in self.lines():
            point = (result["bench"], result["harts"])
            insns[point] = result["insns_per_op"]
            transfers[point] = result["counters"]["line_transfer"] / result["ops"]
        self.assertEqual(transfers["frame.put", 4], 0)
        self.assertLess(insns["frame.put", 4] - insns["frame.churn", 4], PUT_INSNS_MAX)
        self.assertAlmostEqual(insns["frame.put", 4], insns["frame.put", 1], 0)
        # Of one that all share the count goes round.
        self.assertEqual(transfers["frame.share", 1], 0)
        self.assertGreater(transfers["frame.share", 4], 1)

    def hard(self, harts, *words):
        """What the workloads at the edge of memory found: {(benchmark, allocator, harts): result}."""
        self.out = os.path.join(self.folder, "-".join((str(harts), *words)))
        self.assert_ok(self.bench("BENCH=frame.huge,frame.frag,frame.exhaust", "FRAME=bitmap,hartcache", "MEM=256M",
                                  f"HARTS={harts}", *words))
        schema.check_set(self.lines())
        return {(r["bench"], r["variant"]["frame"], r["harts"]): r for r in self.lines()}

    def test_edge_of_memory(self):
        results = self.hard("1,8")
        for (bench, frame, harts), r in results.items():
            where = f"{bench} {frame} {harts}"
            memory, figures, failed = r["memory"], r.get("figures"), r["counters"]["failed_ops"]
            self.assertEqual(memory["arena_frames"], 16384, where)
            if frame == "bitmap":
                self.assertEqual(memory["stranded_frames_max"], 0, where)
            if bench == "frame.huge":
                self.assertEqual((failed, memory["fragmentation"]), (0, 0), where)
            elif bench == "frame.frag":
                self.assertTrue(0 < figures["huge_had"] < figures["huge_ideal"], where)
                self.assertTrue(0.2 < figures["occupancy"] < 0.3, where)
                self.assertGreater(memory["fragmentation"], 0.5, where)
                # Each hart asks once in vain a round.
                self.assertTrue(failed >= harts and failed % harts == 0, where)
            else:
                self.assertEqual(failed, 0, where)
                self.assertLessEqual(figures["last_frames"], 16384 // 100, where)
                self.assertIsNotNone(r["latency_last"], where)
        caches = results["frame.exhaust", "hartcache", 8]["memory"]
        self.assertGreater(caches["stranded_frames_max"], 0)

    def test_age_is_the_same_under_every_clock(self):
        model, host = self.hard("2"), self.hard("2", "CLOCK=host")
        for frame in ("bitmap", "hartcache"):
            point = ("frame.frag", frame, 2)
            self.assertEqual(model[point]["figures"], host[point]["figures"])

    def test_no_speedup_without_one_hart(self):
        self.assert_ok(self.bench("HARTS=2", "BENCH=frame.churn", "FRAME=bitmap"))
        self.assertEqual([r["speedup"] for r in self.lines()], [None] * len(self.lines()))

    def test_configuration_is_kept(self):
        self.assert_ok(self.bench("HARTS=1", "BENCH=frame.churn", "FRAME=bitmap", "LOCK=tas", "JOBS=1"))
        described = self.run_json()
        self.assertEqual((described["status"], described["clock"], described["planned"]), ("complete", "model", 1))
        self.assertIn("frame=bitmap", described["bootargs"])
        self.assertIn("BENCH=frame.churn", described["command"])
        self.assertRegex(described["opensbi"], r"^\d+\.\d+")
        with open(os.path.join(self.out, "console.log"), encoding="utf-8") as file:
            self.assertIn("OpenSBI v", file.read())

    def refuse(self, word, *valid):
        done = self.bench("HARTS=1", word)
        self.assert_fails(done, "error: ", *valid)
        shown = [line for line in done.err.splitlines() if line.startswith("error: ")]
        self.assertEqual(len(shown), 1, str(done))
        self.assertFalse(os.path.exists(self.out))

    def test_unknown_benchmark(self):
        self.refuse("BENCH=frame.chum", "frame.chum", "frame.churn", "lock.counter")

    def test_one_unknown_benchmark_of_two(self):
        self.refuse("BENCH=frame.churn,nonesuch", "nonesuch", "frame.batch")

    def test_unknown_allocator(self):
        self.refuse("FRAME=nonesuch", "nonesuch", "bitmap", "hartcache")

    def test_unknown_heap(self):
        self.refuse("HEAP=nonesuch", "nonesuch", "bestfit", "firstfit")

    def test_unknown_lock(self):
        self.refuse("LOCK=futex", "futex", "tas", "ttas", "ticket", "mcs")

    def test_unknown_key(self):
        self.refuse("ARGS=colour=red", "colour", "bench", "harts")

    def test_bad_value(self):
        self.refuse("ARGS=gap=wide", "gap=wide")

    def test_small_memory(self):
        """It works, or it says that this is too little and how much it needs."""
        words = ("HARTS=1", "BENCH=frame.churn", "FRAME=hartcache")
        self.assert_fails(self.bench(*words, "MEM=24M"), "error: too little RAM: ", " KiB", "MEM=")
        self.assert_ok(self.bench(*words, "MEM=40M"))
        schema.check_set(self.lines())

    def test_ctrl_c(self):
        mark = f"seed={secrets.randbelow(1 << 48)}"
        command = support.Command(["make", "bench", "HARTS=1,2", f"OUT={self.out}", f"ARGS={mark}"])
        wait_until(lambda: os.path.exists(os.path.join(self.out, "results.jsonl")) and len(self.lines()) >= 2, 120)
        session = command.process.pid
        command.signal(signal.SIGINT)
        done = command.finish(60)
        self.assertNotEqual(done.status, 0)
        self.assertIn("interrupted by SIGINT", done.err)
        self.assertGreaterEqual(len(self.lines()), 2)
        for result in self.lines():
            schema.check_result(result)
        self.assertEqual(self.run_json()["status"], "interrupted")
        self.assertFalse(alive(session))
        self.assertFalse([pid for pid in filter(str.isdigit, os.listdir("/proc")) if self.was_told(pid, mark)])

    @staticmethod
    def was_told(pid, word):
        try:
            with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
                return word in file.read()
        except OSError:
            return False


class InstructionTest(support.TestCase):
    def count(self, name):
        out = os.path.join(self.folder, name)
        self.assert_ok(make("bench", "BENCH=frame.churn", "HARTS=1", f"OUT={out}", "QUICK=1"))
        return {r["variant"]["frame"]: r["insns_per_op"] for r in self.lines(out)}

    def test_hot_path_is_short_and_counted_exactly(self):
        first, second = self.count("first"), self.count("second")
        self.assertEqual(first, second)
        self.assertLessEqual(first["hartcache"], HOT_PATH_INSNS_MAX + LOOP_INSNS)
        self.assertGreater(first["bitmap"], first["hartcache"])

    def test_heaps_of_harts_stay_on_their_own_lines(self):
        self.assert_ok(make("bench", "BENCH=heap.churn,heap.churn_4k", "HEAP=hartbuddy,slab", "HARTS=1,8", f"OUT={self.out}", "QUICK=1"))
        for point in self.lines():
            if point["harts"] == 1 and point["variant"]["heap"] == "hartbuddy":
                self.assertLessEqual(point["insns_per_op"], HEAP_INSNS_MAX + LOOP_INSNS)
            if point["harts"] == 8:
                self.assertGreaterEqual(point["speedup"], 7.8, point)
                self.assertLess(point["counters"]["line_transfer"] / point["ops"], 0.001, point)


class BootsTest(support.TestCase):
    def boots(self, count, harts):
        done = make("boots", f"COUNT={count}", f"HARTS={harts}")
        self.assert_ok(done)
        self.assertIn(f"{count} boots at {harts} harts", done.out)
        self.assertIn("0 failed", done.out)

    def test_eight_harts(self):
        self.boots(5, 8)

    def test_sixty_four_harts(self):
        self.boots(1, 64)

    def test_failure_is_counted(self):
        done = make("boots", "COUNT=1", "ARGS=colour=red")
        self.assertNotEqual(done.status, 0, str(done))
        self.assertIn("1 failed", done.out)
        self.assertIn("colour", done.out)

    def test_boot_from_a_copy_elsewhere(self):
        """The runner finds its kernel from any folder."""
        done = run("/bin/sh", "-c", f"cd / && exec '{RUN}' boots COUNT=1 HARTS=2")
        self.assert_ok(done)


if __name__ == "__main__":
    unittest.main()
