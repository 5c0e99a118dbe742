"""The figures of a run: per benchmark, throughput, cycles per operation, latency percentiles, fairness, and under the
model the causes of what an operation costs. How a figure becomes gnuplot's is in figure.py."""
import os
import shutil
import subprocess
import sys

from . import attribution
from .failure import Failure
from .figure import Bars, Figure, curves_of, quote
from .results import LATEST, enrich, load
from .scaling_marks import Marks
from .waste import waste

ACCEPTED = ("RUN",)

# The ratio between the places of the first and the last curve at the same number of harts.
DODGE = 1.12
# What the first of a benchmark's two latencies is the latency of, by the family of the benchmark.
TAKING = {"frame": "allocation", "heap": "allocation", "lock": "acquisition"}
PERCENTILES = (("p50", "50"), ("p90", "90"), ("p99", "99"), ("p999", "99.9"))


class GnuplotMissing(Exception):
    """No gnuplot on this machine."""


def _measured_harts(curves):
    return sorted({n for curve in curves for n in curve.points})


def _with_errors(figure, curves, curve, rows):
    """A line with points, and bars from the worst to the best trial where those are known. Curves with bars stand a
    little apart, or their bars would hide each other. Returns by how much this one does."""
    apart = 1
    if any(row[2] != row[3] for row in rows):
        apart = DODGE ** (curves.index(curve) / (len(curves) - 1) - 0.5) if len(curves) > 1 else 1
        rows = [(harts * apart, *values) for harts, *values in rows]
        colour = curve.style.split(" pt ")[0]
        figure.add(rows, f"using 1:2:3:4 with yerrorbars {colour} lw 1 ps 0 notitle")
    figure.add(rows, f"using 1:2 with linespoints {curve.style} title {quote(curve.title)}")
    return apart


def _throughput(run, bench, curves):
    """Throughput over harts, on log scales, where perfect scaling is a straight line of slope one."""
    figure = Figure(run, f"{bench}.throughput", f"{bench}: throughput", "operations per second")
    harts = _measured_harts(curves)
    figure.harts_axis(harts)
    bounds = [value for curve in curves for p in curve.points.values() if p["ops_per_sec"] for value in
              (p["ops_per_sec"], p.get("spread", {}).get("min") or p["ops_per_sec"],
               p.get("spread", {}).get("max") or p["ops_per_sec"])]
    if not bounds:
        return None
    best = max((c.points[1]["ops_per_sec"] for c in curves if 1 in c.points), default=0)
    if best:
        bounds.append(best * harts[-1])
        figure.add([(n, best * n) for n in harts],
                   "using 1:2 with lines lc rgb '#909090' dt 3 lw 2 title 'ideal (best 1-hart × n)'")
    figure.log_y(bounds)
    marks = Marks(curves)
    for curve in curves:
        rows = []
        for n, point in sorted(curve.points.items()):
            if not point["ops_per_sec"]:
                figure.note_once("A throughput of 0 has no place on the scale and is not drawn.")
                continue
            spread = point.get("spread") or {"min": point["ops_per_sec"], "max": point["ops_per_sec"]}
            rows.append((n, point["ops_per_sec"], spread["min"] or point["ops_per_sec"], spread["max"]))
        if rows:
            apart = _with_errors(figure, curves, curve, rows)
            marks.add(figure, curve, apart)
    marks.explain(figure)
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


def _latency_last(run, bench, curves):
    return _percentiles(run, bench, curves, "latency_last", "last-per-cent allocation")


def _latency_none(run, bench, curves):
    return _percentiles(run, bench, curves, "latency_none", "failed allocation")


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
        figure.add(rows, f"using 1:2 with linespoints {curve.style} title {quote(curve.title)}")
    return figure


def _fairness(run, bench, curves):
    figure = Figure(run, f"{bench}.fairness", f"{bench}: fairness", "Jain's index of the harts' operations")
    figure.harts_axis(_measured_harts(curves))
    figure.settings.append("set yrange [0:1.03]")
    for curve in curves:
        rows = [(n, p["fairness"]) for n, p in sorted(curve.points.items()) if p.get("fairness") is not None]
        if rows:
            figure.add(rows, f"using 1:2 with linespoints {curve.style} title {quote(curve.title)}")
    return figure if figure.plots else None


def _attribution(run, bench, curves):
    """Bars of the causes, at one hart and at the largest count: what waiting for others adds to the work itself."""
    most = _measured_harts(curves)[-1]
    panels = []
    for harts in dict.fromkeys((1, most)):
        bars = [(curve.title, attribution.per_operation(curve.points[harts])) for curve in curves if harts in curve.points]
        if any(share for _, share in bars):
            panels.append((f"{harts} hart{'s' if harts > 1 else ''}", bars))
    return Bars(run, f"{bench}.attribution", f"{bench}: cycles of an operation, by cause", panels) if panels else None


def figures(run, results):
    for bench in dict.fromkeys(r["bench"] for r in results):
        family = bench.split(".")[0]
        curves = curves_of([r for r in results if r["bench"] == bench],
                           [r for r in results if r["bench"].split(".")[0] == family])
        if not curves:
            continue
        for draw in (_throughput, _cycles, _attribution, _latency, _latency_free, _latency_last, _latency_none,
                     _fairness, waste):
            figure = draw(run, bench, curves)
            if figure:
                yield figure


def plot(path, run, results):
    """Draw every figure into path/plots; returns how many."""
    return draw_figures(path, list(figures(run, results)))


def draw_figures(path, drawn):
    folder = os.path.join(path, "plots")
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
