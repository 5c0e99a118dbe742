"""The figure of speed against waste: what an allocator's metadata and its caches keep from everybody, and what that buys.
A point a variant at the largest hart count, with its name beside it. Of frame allocators it is a share of the arena, all
of which they manage; of heaps bytes, since they take what they need."""
import math

from .figure import Figure, log_range, quote, tic_label
from .labels import place

PAGE_BYTES = 4096
# Of the SVG's 880 × 520 pixels, the part that the axes enclose.
LEFT, RIGHT, BOTTOM, TOP = 0.105, 0.96, 0.185, 0.9
SIZE = (880 * (RIGHT - LEFT), 520 * (TOP - BOTTOM))
# More names than this find no room; a key beside the axes has to do.
NAMES_MAX = 26


def wasted(result):
    """The share of the arena that is metadata or was stranded at worst; None where that is not known."""
    memory = result.get("memory") or {}
    arena, metadata = memory.get("arena_frames"), memory.get("metadata_bytes")
    stranded = memory.get("stranded_frames_max", memory.get("stranded_frames"))
    if not arena or metadata is None or stranded is None:
        return None
    return (metadata / PAGE_BYTES + stranded) / arena


def wasted_bytes(result):
    """Of a heap: the bytes that are metadata, or in its pages though nobody has asked for them. None where that is not known."""
    memory = result.get("memory") or {}
    numbers = [memory.get(name) for name in ("metadata_bytes", "reserved_bytes", "live_bytes")]
    if None in numbers:
        return None
    metadata, reserved, live = numbers
    return metadata + reserved - live


def _share_text(share):
    """Per cent; gnuplot takes a label of the axis for a format."""
    return f"{100 * share:g}%%"


# What is measured of a benchmark's family, in which unit, how its numbers are written, and what it is made of.
SHARE = (wasted, "share of the arena", _share_text, "metadata, and frames that lay in caches of single harts at worst")
BYTES = (wasted_bytes, "bytes", tic_label, "metadata, and what is in pages of the heap but in nobody's hands")


def _efficient(rows):
    """The corners of the line under which lies all that another variant beats in both."""
    best, corners = 0, []
    for share, rate in sorted(rows, key=lambda row: (row[0], -row[1])):
        if rate > best:
            corners += [(share, best)] * bool(corners) + [(share, rate)]
            best = rate
    return corners


class Waste(Figure):
    """Throughput over waste, both on log scales."""

    def __init__(self, run, bench, harts, rows, kind):
        """rows: (curve, waste, throughput); kind: SHARE or BYTES."""
        _, unit, text, parts = kind
        super().__init__(run, f"{bench}.waste", f"{bench}: speed against waste at {harts} hart{'s' if harts > 1 else ''}",
                         "operations per second")
        shares, rates = [share for _, share, _ in rows], [rate for _, _, rate in rows]
        self.log_y(rates)
        low, high, tics = log_range(shares, wide=True)
        labels = ", ".join(f"'{text(value)}' {value:g}" for value in tics)
        self.settings += [f"set xlabel 'waste, {unit}'", "set logscale x", f"set xtics ({labels})",
                          f"set xrange [{low:g}:{high:g}]", "set grid xtics"]
        corners = _efficient(list(zip(shares, rates)))
        self.notes.append(f"Waste: {parts}. Better is up and left.")
        if len(corners) > 1:
            self.notes[-1] = self.notes[-1][:-1] + "; what lies below the line is beaten in both."
            self.add(corners, "using 1:2 with lines lc rgb '#b0b0b0' dt 1 lw 1.5 notitle")
        named = len(rows) <= NAMES_MAX
        for curve, share, rate in rows:
            title = "notitle" if named else f"title {quote(curve.title)}"
            self.add([(share, rate)], f"using 1:2 with points {curve.style} {title}")
        if named:
            self._name(rows, (low, high), corners)

    def _name(self, rows, bounds_x, corners):
        self.settings += ["unset key", f"set lmargin at screen {LEFT}", f"set rmargin at screen {RIGHT}",
                          f"set tmargin at screen {TOP}", f"set bmargin at screen {BOTTOM}"]

        def scaled(value, bounds, size):
            return size * math.log(value / bounds[0]) / math.log(bounds[1] / bounds[0])

        def pixels(share, rate):
            return scaled(share, bounds_x, SIZE[0]), scaled(rate, self.bounds_y, SIZE[1])

        points = [pixels(share, rate) for _, share, rate in rows]
        labels = place([row[0].title for row in rows], points, SIZE, [pixels(*corner) for corner in corners])
        for (curve, _, _), label in zip(rows, labels):
            colour = curve.style.split(" pt ")[0].removeprefix("lc ")
            if label.leader:
                self.settings.append(f"set arrow from {_graph(label.point)} to {_graph((label.x, label.y))} nohead"
                                     f" lc {colour} lw 0.7 back")
            self.settings.append(f"set label {quote(curve.title)} at {_graph((label.x, label.y))} {label.anchor}"
                                 f" font ',11' tc {colour} noenhanced front")


def _graph(point):
    return f"graph {point[0] / SIZE[0]:.4f},{point[1] / SIZE[1]:.4f}"


def waste(run, bench, curves):
    kind = BYTES if bench.startswith("heap.") else SHARE
    harts = max(n for curve in curves for n in curve.points)
    points = [(curve, curve.points[harts]) for curve in curves if harts in curve.points]
    rows = [(curve, kind[0](point), point["ops_per_sec"]) for curve, point in points]
    rows = [row for row in rows if row[1] and row[2]]
    return Waste(run, bench, harts, rows, kind) if rows else None
