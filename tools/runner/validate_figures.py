"""The figures of `make validate-model`: the model's curves over what was expected of them."""
from . import host
from .experiments import CHASE_LOOP, atomics, chase_trial, interrupts, line_fit, pick
from .experiments_locks import HARTS, LONG_GAP, curve, lock_trial, markov_curve
from .figure import COLOURS, Figure
from .lab import cycles_of
from .plot import draw_figures

# Beyond it a way around takes the simulator seconds and shows the same plateau.
CHASE_KIB_MAX = 16384
PAGES_KIB = (4, 2048)
EXPECTED = "with lines lc rgb '#909090' dt 2 lw 2"


def curve_trials(profile):
    """Trials for curves only, by (KiB, KiB a page)."""
    sizes = [1 << n for n in range(3, 30) if 1 << n <= min(CHASE_KIB_MAX, 4 * max(profile.llc_kib, 1024))]
    return {(kib, page): chase_trial(kib, page) for kib in sizes for page in PAGES_KIB}


def _points(colour, shape):
    return f"using 1:2 with linespoints lc rgb '{COLOURS[colour]}' pt {shape} lw 2 ps 1.1"


def _chase(run, profile, lab):
    figure = Figure(run, "chase", "Pointer chase: what a load costs, by working set", "cycles a load")
    trials = curve_trials(profile)
    sizes = sorted({kib for kib, _ in trials})
    labels = ", ".join(f"'{kib} K' {kib}" if kib < 1024 else f"'{kib // 1024} M' {kib}" for kib in sizes)
    figure.settings += ["set xlabel 'working set'", "set logscale x 2", f"set xtics ({labels})",
                        f"set xrange [{sizes[0] / 1.2:g}:{sizes[-1] * 1.2:g}]", "set key top left inside"]
    rows = {page: [(kib, lab.results(trials[kib, page])[0]["cycles_per_op"] - CHASE_LOOP) for kib in sizes]
            for page in PAGES_KIB}
    for page, title, shade in ((4, "profile, 4 KiB pages", 2), (2048, "profile, 2 MiB pages", 4)):
        fine = [sizes[0] * 2 ** (i / 32) for i in range(32 * (len(sizes) - 1) + 1)]
        expected = [(kib, profile.load(kib)[1] + (profile.translation(kib / 4)[1] if page == 4 else 0)) for kib in fine]
        figure.add(expected, f"using 1:2 with lines lc rgb '#909090' dt {shade} lw 2 title '{title}'")
    figure.add(rows[4], _points(1, 5) + " title 'model, 4 KiB pages'")
    figure.add(rows[2048], _points(0, 7) + " title 'model, 2 MiB pages'")
    figure.log_y([value for page in rows.values() for _, value in page])
    figure.notes.append("Each load is on another page than the last. The expectation for 4 KiB pages beyond the second TLB's"
                        " reach has page tables in the L2.")
    return figure


def _locks(run, profile, lab):
    figure = Figure(run, "locks", f"lock.counter, gap {LONG_GAP}, home occupancy 60: throughput against one hart",
                    "relative throughput")
    results = lab.results(lock_trial(LONG_GAP))
    figure.harts_axis(list(HARTS))
    predicted = markov_curve(profile, curve(profile, results, "ticket")[1])
    alone = curve(profile, results, "ticket")[1]
    figure.add([(n, alone / predicted[n]) for n in HARTS[1:]], f"using 1:2 {EXPECTED} title 'ticket, Markov model'")
    for lock, colour, shape in (("ticket", 1, 5), ("mcs", 0, 7)):
        cost = curve(profile, results, lock)
        figure.add([(n, alone / cost[n]) for n in HARTS], _points(colour, shape) + f" title '{lock}, machine model'")
    figure.settings.append("set yrange [0:*]")
    figure.notes.append("Markov model: Boyd-Wickizer et al., 2012, with two transfers to hand over and two reads a waiter.")
    return figure


def _interrupts(run, profile, lab):
    figure = Figure(run, "interrupts", "Interrupting n running harts and waiting for all to acknowledge", "cycles")
    for (label, trial), colour, shape in zip(interrupts(profile).trials.items(), (2, 0, 1), (9, 7, 5)):
        rows = [(r["harts"] - 1, cycles_of(profile.hz, r)) for r in lab.results(trial)]
        slope, base, _ = line_fit(*zip(*rows))
        figure.add([(0.5, base + slope * 0.5), (7.5, base + slope * 7.5)], f"using 1:2 {EXPECTED} notitle")
        figure.add(rows, f"using 1:2 with points lc rgb '{COLOURS[colour]}' pt {shape} ps 1.4"
                         f" title 'ipi {label}, {slope:.0f} a target'")
    figure.settings += ["set xlabel 'targets'", "set xrange [0.5:7.5]", "set xtics 1,1,7", "set yrange [0:*]"]
    figure.notes.append("What does not depend on the number of targets is the firmware's path, instruction by instruction.")
    return figure


def _atomics(run, profile, lab):
    figure = Figure(run, "atomics", "Atomic additions: throughput against one hart", "relative throughput")
    results = lab.results(atomics(profile).trials["all"])
    harts = (1, 2, 4, 8)
    figure.harts_axis(list(harts))
    figure.add([(n, n) for n in harts], f"using 1:2 {EXPECTED} title 'linear'")
    for name, title, colour, shape in (("amo_private", "each hart its own word", 0, 7), ("amo_shared", "one word", 1, 5)):
        base = pick(results, f"model.{name}", 1)["ops_per_sec"]
        figure.add([(n, pick(results, f"model.{name}", n)["ops_per_sec"] / base) for n in harts],
                   _points(colour, shape) + f" title '{title}'")
    figure.log_y([0.12, 8])
    return figure


def draw(folder, name, profile, lab):
    run = {"commit": host.commit(), "dirty": host.dirty(), "clock": "model", "profile": name, "qemu": lab.qemu.version,
           "host": host.describe(), "harts_max": 8}
    draw_figures(folder, [make(run, profile, lab) for make in (_chase, _locks, _interrupts, _atomics)])
