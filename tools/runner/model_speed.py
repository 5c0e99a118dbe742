"""`make model-speed`: instructions of the guest that the model simulates in a second of one host core. Nothing is
asserted: it says how fast this host is as much as how fast the model is. Seconds are of processor time, which
other work on the host stretches least.
"""
import resource

from .lab import Lab, Trial
from .validate import profile_of

ACCEPTED = ("PROFILE", "QEMU", "IPI")
# (what, the kernel's words, harts, cycles of the short and the long trial, the rate to aim for)
CASES = (
    ("1 hart, arithmetic (lock.counter, gap 10000)", "bench=lock.counter lock=tas gap=10000", 1, (20000000, 220000000), 100e6),
    ("1 hart, a load or store in 3 (frame.churn)", "bench=frame.churn frame=hartcache", 1, (10000000, 60000000), 100e6),
    ("8 harts on one lock (lock.counter, ticket)", "bench=lock.counter lock=ticket", 8, (1000000, 5000000), 10e6),
    ("8 harts on one lock (lock.counter, mcs)", "bench=lock.counter lock=mcs", 8, (1000000, 5000000), 10e6),
    ("8 harts on one lock (lock.counter, ttas)", "bench=lock.counter lock=ttas", 8, (1000000, 5000000), 10e6),
)
# A point is a trial and one with latencies, each after a warm-up of a quarter; the trial's instructions are counted.
TRIALS_A_POINT = 2 * 1.25


def _children_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(lab, words, harts, cycles):
    """Instructions and seconds by which a long trial exceeds a short one: without booting and translation."""
    seen = []
    for length in cycles:
        trial = Trial(f"{words} trial_cycles={length}", (harts,))
        before = _children_seconds()
        lab.run([trial], jobs=1)
        seen.append((lab.results(trial)[0]["counters"]["insns"] * TRIALS_A_POINT, _children_seconds() - before))
    (few, short), (many, long) = seen
    return many - few, long - short


def main(settings):
    name, _ = profile_of(settings)
    lab = Lab(settings, name)
    print("Instructions of the guest simulated in a second, one host core:")
    for what, words, harts, cycles, goal in CASES:
        instructions, seconds = measure(lab, words, harts, cycles)
        print(f"  {what:<48} {instructions / seconds / 1e6:8.1f} M/s   (goal: {goal / 1e6:.0f} M/s)", flush=True)
    return 0
