"""The figures of a run: per benchmark, throughput, cycles per operation, latency percentiles and fairness.

Each figure is a data file and a gnuplot script beside it in plots/, drawn as SVG and PNG; the scripts stand
alone, so that a figure can be adjusted by hand and drawn again.
"""
import math
import os
import shutil
import subprocess
import sys

from .failure import Failure
from .results import LATEST, enrich, load, variant_key
from .units import si

ACCEPTED = ("RUN",)

# Okabe and Ito's colours, which colour-blind readers tell apart; yellow is left out: too faint on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# gnuplot's point types in pairs, filled and open: circle, square, triangle, diamond, inverted triangle, pentagon.
POINTS = ((7, 6), (5, 4), (9, 8), (13, 12), (11, 10), (15, 14))
DASHES = ("1", "2", "4", "5")
# The ratio between the places of the first and the last curve at the same number of harts.
DODGE = 1.12
# What the first of a benchmark's two latencies is the latency of, by the family of the benchmark.
TAKING = {"frame": "allocation", "lock": "acquisition"}
PERCENTILES = (("p50", "50"), ("p90", "90"), ("p99", "99"), ("p999", "99.9"))


class GnuplotMissing(Exception):
    """No gnuplot on this machine."""


class Curve:
    """One variant of one benchmark: its points by hart count, its name and how it is drawn."""

    def __init__(self, results, style):
        self.points = {r["harts"]: r for r in results}
        self.title = " × ".join(str(v) for v in results[0]["variant"].values()) or results[0]["bench"]
        self.style = style


def _styles(variants):
    """Colour and shape follow the last axis of a variant, dash and filling the ones before it: whoever looks
    for one lock or one allocator finds it in every figure."""
    heads = list(dict.fromkeys(tuple(list(v.values())[:-1]) for v in variants))
    tails = list(dict.fromkeys(tuple(list(v.values())[-1:]) for v in variants))
    styles = []
    for variant in variants:
        values = list(variant.values())
        head, tail = heads.index(tuple(values[:-1])), tails.index(tuple(values[-1:]))
        styles.append(f"lc rgb '{COLOURS[tail % len(COLOURS)]}' pt {POINTS[tail % len(POINTS)][head % 2]}"
                      f" dt {DASHES[head % len(DASHES)]} lw 2 ps 1.1")
    return styles


def _curves(results):
    """The curves of one benchmark, in the order in which they were measured."""
    keys = list(dict.fromkeys(variant_key(r) for r in results))
    grouped = [[r for r in results if variant_key(r) == key] for key in keys]
    styles = _styles([group[0]["variant"] for group in grouped])
    curves = [Curve([r for r in group if r["status"] == "ok"] or group[:0], style) if
              any(r["status"] == "ok" for r in group) else None for group, style in zip(grouped, styles)]
    return [curve for curve in curves if curve]


def _quote(text):
    return "'" + text.replace("'", "''") + "'"


def _log_range(values):
    """Bounds and tics at 1, 2 and 5 times the powers of ten (only the powers, over more than four decades)."""
    low, high = min(values), max(values)
    steps = (1, 2, 5) if high / low < 1e4 else (1,)
    grid = [step * 10.0 ** power for power in range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
            for step in steps]
    bottom = max(value for value in grid if value <= low * 0.97)
    top = min(value for value in grid if value >= high * 1.03)
    tics = [value for value in grid if bottom <= value <= top]
    return bottom, top, tics


def _tic_label(value):
    if value < 1:
        return f"{value:g}"
    text = si(value)
    digits = text.rstrip("TGMkm")
    return f"{float(digits):g}" + text[len(digits):]


class Figure:
    """One gnuplot script with its data file."""

    def __init__(self, run, name, title, ylabel):
        self.name = name
        self.blocks = []
        self.plots = []
        self.settings = [
            f"set title {_quote(title)} noenhanced",
            f"set ylabel {_quote(ylabel)} noenhanced",
            "set key outside right top Left reverse samplen 3 spacing 1.25 noenhanced",
            "set border 3 lc rgb '#404040'", "set tics nomirror out", "set grid ytics lc rgb '#d8d8d8' lw 1 dt 1",
        ]
        self.notes = [f"{run['commit']}{' (modified)' if run.get('dirty') else ''}, CLOCK={run['clock']},"
                      f" QEMU {run['qemu']}, {run['host']['cpu']}"]
        if run["clock"] == "host" and run["harts_max"] > run["host"]["cores"]:
            self.notes.append(f"Harts outnumber the {run['host']['cores']} host cores: beyond that the host's"
                              " scheduler is measured too.")

    def harts_axis(self, harts):
        tics = ", ".join(f"'{n}' {n}" for n in harts)
        low, high = (harts[0], harts[-1]) if len(harts) > 1 else (harts[0] / 2, harts[0] * 2)
        self.settings += ["set xlabel 'harts'", "set logscale x 2", f"set xtics ({tics})",
                          f"set xrange [{low / 1.12:.4f}:{high * 1.12:.4f}]"]

    def log_y(self, values):
        low, high, tics = _log_range(values)
        labels = ", ".join(f"'{_tic_label(value)}' {value:g}" for value in tics)
        self.settings += ["set logscale y", f"set yrange [{low:g}:{high:g}]", f"set ytics ({labels})"]

    def add(self, rows, how):
        """Plot rows of numbers; `how` is gnuplot's clause behind `plot file index n`."""
        self.blocks.append("\n".join(" ".join(f"{value:.9g}" for value in row) for row in rows))
        self.plots.append(f"index {len(self.blocks) - 1} {how}")

    def script(self):
        # Small print under the axis, so that it travels with the picture.
        note, lines_of_note = "\\n".join(self.notes), len(self.notes)
        lines = ["# Made by tools/run plot; draw it again by: gnuplot " + self.name + ".gp"]
        lines += self.settings
        lines.append(f'set label 99 "{note}" at graph 0, screen {0.005 + 0.025 * lines_of_note:.3f} left font ",9" tc rgb "#606060" noenhanced')
        lines.append(f"set bmargin {4.3 + 1.1 * lines_of_note:.1f}")
        body = ", \\\n     ".join(f"'{self.name}.dat' {clause}" for clause in self.plots)
        for terminal, ending in (("svg size 880,520 dynamic background 'white' font 'Helvetica,13'", "svg"),
                                 ("pngcairo size 1760,1040 background 'white' font 'Sans,13' fontscale 1.7 linewidth 1.7"
                                  " pointscale 1.7", "png")):
            lines += [f"set terminal {terminal}", f"set output '{self.name}.{ending}'", f"plot {body}"]
        lines.append("set output")
        return "\n".join(lines) + "\n"

    def data(self):
        return "\n\n\n".join(self.blocks) + "\n"


def _measured_harts(curves):
    return sorted({n for curve in curves for n in curve.points})


def _with_errors(figure, curves, curve, rows):
    """A line with points, and bars from the worst to the best trial where those are known. The curves stand a
    little apart, or their bars would hide each other."""
    apart = DODGE ** (curves.index(curve) / (len(curves) - 1) - 0.5) if len(curves) > 1 else 1
    rows = [(harts * apart, *values) for harts, *values in rows]
    if any(row[2] != row[3] for row in rows):
        colour = curve.style.split(" pt ")[0]
        figure.add(rows, f"using 1:2:3:4 with yerrorbars {colour} lw 1 ps 0 notitle")
    figure.add(rows, f"using 1:2 with linespoints {curve.style} title {_quote(curve.title)}")


def _throughput(run, bench, curves):
    """Throughput over harts, on log scales, where perfect scaling is a straight line of slope one."""
    figure = Figure(run, f"{bench}.throughput", f"{bench}: throughput", "operations per second")
    harts = _measured_harts(curves)
    figure.harts_axis(harts)
    bounds = [value for curve in curves for p in curve.points.values() for value in
              (p["ops_per_sec"], p.get("spread", {}).get("min") or p["ops_per_sec"],
               p.get("spread", {}).get("max") or p["ops_per_sec"])]
    best = max((c.points[1]["ops_per_sec"] for c in curves if 1 in c.points), default=None)
    if best:
        bounds.append(best * harts[-1])
        figure.add([(n, best * n) for n in harts],
                   "using 1:2 with lines lc rgb '#909090' dt 3 lw 2 title 'ideal (best 1-hart × n)'")
    figure.log_y(bounds)
    for curve in curves:
        rows = []
        for n, point in sorted(curve.points.items()):
            spread = point.get("spread") or {"min": point["ops_per_sec"], "max": point["ops_per_sec"]}
            rows.append((n, point["ops_per_sec"], spread["min"] or point["ops_per_sec"], spread["max"]))
        _with_errors(figure, curves, curve, rows)
    return figure


def _cycles(run, bench, curves):
    unit = run["guest"].get("clock_unit", "cycles")
    figure = Figure(run, f"{bench}.cycles", f"{bench}: cost of an operation on its hart", f"{unit} per operation")
    rows_of = {}
    for curve in curves:
        rows = []
        for n, point in sorted(curve.points.items()):
            cost = point.get("cycles_per_op")
            if cost:
                # Cost is the inverse of throughput, so the worst trial of the one is the best of the other.
                spread = point.get("spread") or {}
                middle = point["ops_per_sec"]
                low = cost * middle / spread["max"] if spread.get("max") else cost
                high = cost * middle / spread["min"] if spread.get("min") else cost
                rows.append((n, cost, low, high))
        if rows:
            rows_of[curve] = rows
    if not rows_of:
        return None
    figure.harts_axis(_measured_harts(curves))
    figure.log_y([value for rows in rows_of.values() for row in rows for value in row[1:]])
    for curve, rows in rows_of.items():
        _with_errors(figure, curves, curve, rows)
    return figure


def _latency(run, bench, curves):
    return _percentiles(run, bench, curves, "latency", TAKING.get(bench.split(".")[0], "operation"))


def _latency_free(run, bench, curves):
    return _percentiles(run, bench, curves, "latency_free", "free")


def _percentiles(run, bench, curves, field, what):
    """Percentiles at the largest hart count; at each step along the axis a tenth of the operations is left."""
    harts = _measured_harts(curves)[-1]
    figure = Figure(run, f"{bench}.{field}", f"{bench}: {what} latency at {harts} hart{'s' if harts > 1 else ''}",
                    f"{what} latency, {run['guest'].get('clock_unit', 'unit unknown')}")
    rows_of, zero_note = {}, []
    for curve in curves:
        latency = curve.points.get(harts, {}).get(field) or {}
        rows = [(i, max(1, latency[name])) for i, (name, _) in enumerate(PERCENTILES) if name in latency]
        if rows:
            rows_of[curve] = rows
        if 0 in (latency.get(name) for name, _ in PERCENTILES):
            zero_note = ["A latency of 0, once the cost of reading the clock is taken off, is drawn as 1."]
    if not rows_of:
        return None
    figure.notes += zero_note
    tics = ", ".join(f"'{label}' {i}" for i, (_, label) in enumerate(PERCENTILES))
    figure.settings += ["set xlabel 'percentile'", f"set xtics ({tics})", f"set xrange [-0.25:{len(PERCENTILES) - 0.75}]"]
    figure.log_y([value for rows in rows_of.values() for _, value in rows])
    for curve, rows in rows_of.items():
        figure.add(rows, f"using 1:2 with linespoints {curve.style} title {_quote(curve.title)}")
    return figure


def _fairness(run, bench, curves):
    figure = Figure(run, f"{bench}.fairness", f"{bench}: fairness", "Jain's index of the harts' operations")
    figure.harts_axis(_measured_harts(curves))
    figure.settings.append("set yrange [0:1.03]")
    for curve in curves:
        rows = [(n, p["fairness"]) for n, p in sorted(curve.points.items()) if p.get("fairness") is not None]
        if rows:
            figure.add(rows, f"using 1:2 with linespoints {curve.style} title {_quote(curve.title)}")
    return figure if figure.plots else None


def figures(run, results):
    for bench in dict.fromkeys(r["bench"] for r in results):
        curves = _curves([r for r in results if r["bench"] == bench])
        if not curves:
            continue
        for draw in (_throughput, _cycles, _latency, _latency_free, _fairness):
            figure = draw(run, bench, curves)
            if figure:
                yield figure


def plot(path, run, results):
    """Draw every figure into path/plots; returns how many."""
    folder = os.path.join(path, "plots")
    drawn = list(figures(run, results))
    try:
        os.makedirs(folder, exist_ok=True)
        for figure in drawn:
            for ending, text in ((".dat", figure.data()), (".gp", figure.script())):
                with open(os.path.join(folder, figure.name + ending), "w", encoding="utf-8") as file:
                    file.write(text)
    except OSError as error:
        raise Failure(f"cannot write {folder}: {error.strerror}") from error
    gnuplot = shutil.which("gnuplot")
    if gnuplot is None:
        raise GnuplotMissing("gnuplot was not found; tools/setup installs it")
    for figure in drawn:
        done = subprocess.run([gnuplot, figure.name + ".gp"], cwd=folder, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace", check=False)
        if done.returncode != 0:
            raise Failure(f"gnuplot could not draw {figure.name}: {done.stdout.strip()}")
    return len(drawn)


def main(settings):
    path = settings.text("RUN", LATEST)
    run, results = load(path)
    try:
        count = plot(path, run, enrich(results, run["clock"], run["profile"]))
    except GnuplotMissing as missing:
        raise Failure(str(missing)) from missing
    if not count:
        raise Failure(f"{path} holds no data point to draw")
    print(f"{count} figures in {os.path.join(path, 'plots')}", file=sys.stdout)
    return 0
