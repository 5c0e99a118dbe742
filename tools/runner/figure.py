"""How a figure becomes gnuplot's: a data file and a script beside it in plots/, drawn as SVG and PNG. The scripts
stand alone, so that a figure can be adjusted by hand and drawn again."""
import json
import math

from . import attribution
from .results import variant_key
from .units import si

# Okabe and Ito's colours, which colour-blind readers tell apart, without yellow, which is too faint on white; then, for runs
# of more designs than those, five of Tol's that are darker or duller than all before them ("Colour Schemes", 2021).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000",
           "#882255", "#999933", "#7A7A7A", "#332288", "#A0522D")
# gnuplot's point types in pairs, filled and open: circle, square, triangle, diamond, inverted triangle, pentagon. The second
# six designs have the open ones: colour is never all that tells two apart.
POINTS = ((7, 6), (5, 4), (9, 8), (13, 12), (11, 10), (15, 14))
DASHES = ("1", "2", "4", "5")
# Of causes of cycles: blues for what the hart itself does, yellow to red for its memory, purples for other harts.
CAUSE_COLOURS = {
    "compute": "#0072B2", "atomic": "#56B4E9", "trap": "#A9D3F0", "mmio": "#999999", "tlb": "#F0E442",
    "store_drain": "#E69F00", "miss": "#D55E00", "queue": "#CC79A7", "spin": "#6A3D79", "ipi_wait": "#009E73",
}
OTHER_COLOUR = "#D0D0D0"
TERMINALS = (
    ("svg size 880,520 dynamic background 'white' font 'Helvetica,13'", "svg"),
    ("pngcairo size 1760,1040 background 'white' font 'Sans,13' fontscale 1.7 linewidth 1.7 pointscale 1.7", "png"),
)


class Curve:
    """One variant of one benchmark: its points by hart count, its name and how it is drawn."""

    def __init__(self, results, title, style):
        self.points = {r["harts"]: r for r in results}
        self.title = title
        self.style = style


def _varying(variants):
    """The axes on which the variants differ, in their order. Having none of something is no difference from the others that
    have the one kind of it: an allocator without locks beside some over one kind of lock."""
    axes = list(dict.fromkeys(axis for variant in variants for axis in variant))
    return [axis for axis in axes if len({variant[axis] for variant in variants if axis in variant}) > 1]


def _look(variants):
    """A style for each. Colour and shape are the first axis's on which they differ (the design), dash and filling the
    others' (the lock under it): whoever looks for one design finds it in every figure."""
    axes = _varying(variants)
    mains = list(dict.fromkeys(variant.get(axis) for variant in variants for axis in axes[:1]))
    rests = list(dict.fromkeys(tuple(variant.get(axis) for axis in axes[1:]) for variant in variants))
    for variant in variants:
        main = mains.index(variant.get(axes[0])) if axes else 0
        rest = rests.index(tuple(variant.get(axis) for axis in axes[1:]))
        shape = POINTS[main % len(POINTS)][(rest + main // len(POINTS)) % 2]
        yield f"lc rgb '{COLOURS[main % len(COLOURS)]}' pt {shape} dt {DASHES[rest % len(DASHES)]} lw 2 ps 1.1"


def _names(variants, fallback):
    """What tells them apart; what they share is said only when nothing else is left to say."""
    axes = _varying(variants)
    for variant in variants:
        values = [str(value) for axis, value in variant.items() if axis in axes] or [str(v) for v in variant.values()][:1]
        yield " × ".join(values) or fallback


def _key(variant):
    return json.dumps(variant, sort_keys=True)


def curves_of(results, of_run=()):
    """The curves of one benchmark's results, in the order in which they were measured. `of_run`: all results with variants
    like these, so that a design that some benchmarks leave out changes no other's looks."""
    groups = {}
    for result in results:
        groups.setdefault(variant_key(result), []).append(result)
    variants = {_key(r["variant"]): r["variant"] for r in [*of_run, *results]}
    looks = dict(zip(variants, _look(list(variants.values()))))
    names = _names([group[0]["variant"] for group in groups.values()], results[0]["bench"])
    curves = [Curve([r for r in group if r["status"] == "ok"], name, looks[_key(group[0]["variant"])])
              for group, name in zip(groups.values(), names)]
    return [curve for curve in curves if curve.points]


def quote(text):
    return "'" + text.replace("'", "''") + "'"


def log_range(values, wide=False):
    """Bounds and tics at 1, 2 and 5 times the powers of ten (only the powers, over more than four decades, or over more than
    two where labels are wide)."""
    low, high = min(values), max(values)
    steps = (1, 2, 5) if high / low < (1e2 if wide else 1e4) else (1,)
    grid = [step * 10.0 ** power for power in range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
            for step in steps]
    bottom = max(value for value in grid if value <= low * 0.97)
    top = min(value for value in grid if value >= high * 1.03)
    tics = [value for value in grid if bottom <= value <= top]
    return bottom, top, tics


def tic_label(value):
    """Without digits that say nothing: 5k, 20M."""
    if value < 1:
        return f"{value:g}"
    text = si(value)
    digits = text.rstrip("TGMkm")
    return f"{float(digits):g}" + text[len(digits):]


class Figure:
    """One gnuplot script with its data file."""

    # Lines of text under the axis, besides the small print.
    BOTTOM = 4.3

    def __init__(self, run, name, title, ylabel):
        self.name = name
        self.bottom = self.BOTTOM
        self.bounds_y = None
        self.blocks = []
        self.plots = []
        self.settings = [
            f"set title {quote(title)} noenhanced",
            f"set ylabel {quote(ylabel)} noenhanced",
            "set key outside right top Left reverse samplen 3 spacing 1.25 noenhanced",
            "set border 3 lc rgb '#404040'", "set tics nomirror out", "set grid ytics lc rgb '#d8d8d8' lw 1 dt 1",
        ]
        source = f"{run['commit']}{' (modified)' if run.get('dirty') else ''}"
        if run["clock"] == "model":
            self.notes = [f"{source}, virtual time of the machine model, profile {run['profile']}, QEMU {run['qemu']}"]
        else:
            self.notes = [f"{source}, CLOCK={run['clock']}, QEMU {run['qemu']}, {run['host']['cpu']}"]
        if run["clock"] == "host" and run["harts_max"] > run["host"]["cores"]:
            self.notes.append(f"Harts outnumber the {run['host']['cores']} host cores: beyond that the host's"
                              " scheduler is measured too.")

    def note_once(self, text):
        """A line of small print."""
        if text not in self.notes:
            self.notes.append(text)

    def harts_axis(self, harts):
        tics = ", ".join(f"'{n}' {n}" for n in harts)
        low, high = (harts[0], harts[-1]) if len(harts) > 1 else (harts[0] / 2, harts[0] * 2)
        self.settings += ["set xlabel 'harts'", "set logscale x 2", f"set xtics ({tics})",
                          f"set xrange [{low / 1.12:.4f}:{high * 1.12:.4f}]"]

    def log_y(self, values):
        low, high, tics = log_range(values)
        self.bounds_y = low, high
        labels = ", ".join(f"'{tic_label(value)}' {value:g}" for value in tics)
        self.settings += ["set logscale y", f"set yrange [{low:g}:{high:g}]", f"set ytics ({labels})"]

    def add(self, rows, how):
        """Plot rows of numbers; `how` is gnuplot's clause behind `plot file index n`."""
        self.blocks.append("\n".join(" ".join(f"{value:.9g}" for value in row) for row in rows))
        self.plots.append(f"index {len(self.blocks) - 1} {how}")

    def script(self):
        lines = ["# Made by tools/run plot; draw it again by: gnuplot " + self.name + ".gp"]
        lines += self.settings
        if not any(line.startswith("set bmargin") for line in self.settings):
            lines.append(f"set bmargin {self.bottom + 1.1 * len(self.notes):.1f}")
        for terminal, ending in TERMINALS:
            lines += [f"set terminal {terminal}", f"set output '{self.name}.{ending}'", *self.body()]
        lines.append("set output")
        return "\n".join(lines) + "\n"

    def small_print(self):
        """Under the axis, so that it travels with the picture."""
        note = "\\n".join(self.notes)
        return (f'set label 99 "{note}" at screen 0.01, screen {0.005 + 0.025 * len(self.notes):.3f} left font ",9"'
                ' tc rgb "#606060" noenhanced')

    def body(self):
        """The commands that draw, once the terminal is set."""
        return [self.small_print(), "plot " + ", \\\n     ".join(f"'{self.name}.dat' {clause}" for clause in self.plots)]

    def data(self):
        return "\n\n\n".join(self.blocks) + "\n"


class Bars(Figure):
    """Stacked bars: a panel a hart count with a scale of its own, in it a bar a variant, in that a piece a cause."""

    # Of the width: where the panels may lie, and the room for the second one's scale.
    LEFT, RIGHT, GAP = 0.115, 0.82, 0.085
    BAR_HALF = 0.32
    # Names of variants under all the bars of a figure: more of them have to be tilted.
    LETTERS_ABREAST = 52
    BOTTOM_TILTED = 6.5

    def __init__(self, run, name, title, panels):
        """panels: (title, [(variant, {cause: cycles of an operation})])."""
        super().__init__(run, name, "", "")
        causes = attribution.shown_causes([share for _, bars in panels for _, share in bars])
        self.settings = [
            "set border 3 lc rgb '#404040'", "set tics nomirror out", "set xtics scale 0", "set style fill solid 1.0",
            "set grid ytics lc rgb '#d8d8d8' lw 1 dt 1", "set tmargin 4"]
        self.headline = f"set label 98 {quote(title)} at screen 0.47, screen 0.955 center noenhanced"
        self.tilted = any(sum(len(name) for name, _ in bars) > self.LETTERS_ABREAST / len(panels) for _, bars in panels)
        if self.tilted:
            self.bottom = self.BOTTOM_TILTED
        self.panels = [self._panel(*panel, causes) for panel in panels]

    def _panel(self, title, bars, causes):
        """Adds the blocks of one panel; returns (its settings, its first block, its last)."""
        first = len(self.plots)
        bottoms = [0.0] * len(bars)
        for cause in [*causes, None]:
            rows = []
            for i, (_, share) in enumerate(bars):
                cycles = share.get(cause, 0) if cause else sum(share.values()) - sum(share.get(c, 0) for c in causes)
                rows.append((i, 0, i - self.BAR_HALF, i + self.BAR_HALF, bottoms[i], bottoms[i] + cycles))
                bottoms[i] += cycles
            colour = CAUSE_COLOURS.get(cause, OTHER_COLOUR)
            name = attribution.label(cause) if cause else "other"
            self.add(rows, f"using 1:2:3:4:5:6 with boxxyerror fc rgb '{colour}' lw 0 title {quote(name)}")
        self.add([(i, height) for i, height in enumerate(bottoms)],
                 "using 1:2:(sprintf($2 < 99.95 ? '%.1f' : '%.0f', $2)) with labels offset 0,0.6 notitle")
        names = ", ".join(f"{quote(name)} {i}" for i, (name, _) in enumerate(bars))
        tilt = " rotate by 35 right" if self.tilted else ""
        settings = [f"set title {quote(title)} noenhanced", f"set xtics ({names}){tilt} noenhanced",
                    f"set xrange [-0.6:{len(bars) - 0.4}]", f"set yrange [0:{1.12 * max(bottoms):.9g}]"]
        return settings, first, len(self.plots)

    def body(self):
        width = (self.RIGHT - self.LEFT - self.GAP * (len(self.panels) - 1)) / len(self.panels)
        lines = [self.headline, self.small_print(), "set multiplot"]
        for i, (settings, first, last) in enumerate(self.panels):
            left = self.LEFT + i * (width + self.GAP)
            is_last = i == len(self.panels) - 1
            key = "set key at screen 0.99, screen 0.88 right top Left reverse invert samplen 1.5 spacing 1.2 noenhanced"
            lines += [*settings, f"set lmargin at screen {left:.4f}", f"set rmargin at screen {left + width:.4f}",
                      "set ylabel 'cycles of an operation'" if i == 0 else "unset ylabel", key if is_last else "unset key"]
            lines.append("plot " + ", \\\n     ".join(f"'{self.name}.dat' {clause}" for clause in self.plots[first:last]))
            # What stands beside the panels is drawn once.
            lines += ["unset label 98", "unset label 99"]
        return [*lines, "unset multiplot"]
