"""How locks behave under the model: the experiments of experiments.py that are about spinning."""
from .experiments import LONG, Experiment, Row, line_fit, pick, within
from .lab import Trial, cycles_of

HARTS = (1, 2, 3, 4, 5, 6, 7, 8)
# The setting of the experiment: a home that is slow enough for its queue to be felt.
OCCUPANCY = 60
# The loop outside of the lock, in instructions. With the short one the lock is saturated from 2 harts on.
SHORT_GAP, LONG_GAP = 100, 400


def lock_trial(gap):
    return Trial(f"bench=lock.counter lock=ticket,mcs gap={gap} {LONG}", HARTS, (("home_occupancy", OCCUPANCY),))


def curve(p, results, lock, harts=HARTS):
    """Cycles from one acquisition to the next, by the number of harts."""
    return {n: cycles_of(p.hz, pick(results, "lock.counter", n, lock=lock)) for n in harts}


def markov(n, away, handover, per_waiter):
    """Cycles from one acquisition to the next by the Markov model of a ticket lock (Boyd-Wickizer, Kaashoek, Morris and
    Zeldovich, "Non-scalable locks are dangerous", 2012): state k is the number of harts at the lock; they come at
    rate (n - k) / away, and one leaves at rate 1 / (handover + per_waiter × (k - 1))."""
    weights = [1.0]
    for k in range(n):
        weights.append(weights[-1] * (n - k) / away * (handover + per_waiter * k))
    total = sum(weights)
    return 1 / sum(weights[k] / total / (handover + per_waiter * (k - 1)) for k in range(1, n + 1))


def markov_curve(p, alone):
    """The parameters as they follow from the profile and the lock. Handing over is two transfers: the line to the one who
    leaves, which writes it, and to the one who enters, which reads it. A waiter reads the line again twice for each
    hand-over, since drawing a ticket and leaving both take it away (both words are on it), and the home does
    those one after the other."""
    return {n: markov(n, alone, 2 * p.transfer(0, 1), 2 * OCCUPANCY) for n in HARTS}


def ticket(p):
    def judge(got):
        short, long = curve(p, got[SHORT_GAP], "ticket"), curve(p, got[LONG_GAP], "ticket")
        for n, expected in ((6, 0.71), (8, 0.53)):
            ratio = short[4] / short[n]
            yield Row(f"ticket lock, gap {SHORT_GAP}, occupancy {OCCUPANCY}: throughput at {n} harts over 4",
                      f"{expected} ±0.05: collapse", f"{ratio:.3f}", within(ratio, expected, 0.05),
                      "published against 1 hart (1.04, 0.74, 0.55), where the loop's own cost decides")
        slope, _, _ = line_fit((5, 6, 7, 8), [short[n] for n in (5, 6, 7, 8)])
        yield Row("the same, a further waiter's cost to a hand-over", f"{2 * OCCUPANCY} cycles ±10 %: its two reads at the home",
                  f"{slope:.1f}", within(slope, 2 * OCCUPANCY, 0.2 * OCCUPANCY))
        predicted = markov_curve(p, long[1])
        worst = max(HARTS[1:], key=lambda n: abs(long[n] / predicted[n] - 1))
        yield Row(f"ticket lock, gap {LONG_GAP}, against the Markov model", "within 15 % from 2 to 8 harts",
                  f"at most {100 * abs(long[worst] / predicted[worst] - 1):.1f} % ({worst} harts)",
                  abs(long[worst] / predicted[worst] - 1) <= 0.15)
        peaks = min(predicted, key=predicted.get), min(long, key=long.get)
        yield Row("the same, where throughput peaks", f"{peaks[0]} harts", f"{peaks[1]} harts", peaks[0] == peaks[1])
    return Experiment("ticket lock", {gap: lock_trial(gap) for gap in (SHORT_GAP, LONG_GAP)}, judge, reference=True)


def mcs(p):
    def judge(got):
        for gap in (SHORT_GAP, LONG_GAP):
            cost = curve(p, got[gap], "mcs")
            flat = min(cost[n] for n in HARTS if n >= 4) / max(cost[n] for n in HARTS if n >= 6)
            yield Row(f"MCS lock, gap {gap}: least throughput at 6 to 8 harts over its peak from 4 on", "flat: ≥ 0.90",
                      f"{flat:.3f}", flat >= 0.90, "published: about 0.99 at 6 and more; the compiler's code for the lock "
                      "moves it: 0.98 by GCC 12, 0.93 by GCC 14")
        ticket_cost, mcs_cost = curve(p, got[LONG_GAP], "ticket"), curve(p, got[LONG_GAP], "mcs")
        ahead = [n for n in HARTS if all(mcs_cost[m] < ticket_cost[m] for m in HARTS if m >= n)]
        yield Row(f"MCS passes the ticket lock, gap {LONG_GAP}", "between 4 and 6 harts", f"at {ahead[0]} harts" if ahead else
                  "never", bool(ahead) and 4 <= ahead[0] <= 6)
    return Experiment("MCS lock", {gap: lock_trial(gap) for gap in (SHORT_GAP, LONG_GAP)}, judge, reference=True)


def test_and_set(p):
    harts = (2, 3, 4, 5, 6, 7, 8)

    def judge(got):
        cost = curve(p, got["tas"], "tas", harts)
        slope, _, fit = line_fit(harts, [cost[n] for n in harts])
        yield Row("test-and-set spin: cycles an acquisition by harts", "linear: R² ≥ 0.9", f"R² = {fit:.3f}", fit >= 0.9)
        yield Row("the same, a further waiter's cost", f"{p.transfer_near} cycles ±25 %: its swap, which takes the line",
                  f"{slope:.1f}", within(slope, p.transfer_near, 0.25 * p.transfer_near))
    return Experiment("test-and-set", {"tas": Trial("bench=lock.counter lock=tas gap=0 trial_cycles=3000000", harts)}, judge, reference=True)
