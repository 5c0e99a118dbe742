"""The table at the end of a run: one block a benchmark, variants down, harts across, within 100 columns; and where
the clock knows it, another with the causes of what an operation costs; then what happened during one, and what the curves
amount to."""
from . import attribution, counters, scaling, scaling_text
from .results import variant_key, variant_label
from .units import si, spread_text

WIDTH = 100
CELL = 13
CAUSE_CELL = 10


def _cell(result, symbols):
    """Two lines: throughput with its spread, speedup with efficiency."""
    if result is None:
        return symbols.none, ""
    if result["status"] != "ok":
        return "failed", ""
    top = si(result["ops_per_sec"]) + spread_text(result, symbols)
    if result.get("speedup") is None:
        return top, ""
    return top, f"{result['speedup']:.2f}{symbols.times} {100 * result['efficiency']:3.0f}%"


def _block(bench, results, symbols):
    """One benchmark, in as many strips as its hart counts need."""
    axes = list(dict.fromkeys(name for r in results for name in r["variant"]))
    curves = list(dict.fromkeys(variant_key(r) for r in results))
    variants = {variant_key(r): [str(r["variant"].get(axis, "")) for axis in axes] for r in results}
    points = {(variant_key(r), r["harts"]): r for r in results}
    widths = [max(len(axis), *(len(v[i]) for v in variants.values())) for i, axis in enumerate(axes)]
    harts = sorted({r["harts"] for r in results})

    def left(words):
        return "  " + "  ".join(word.ljust(width) for word, width in zip(words, widths))

    strip = max(1, (WIDTH - len(left(axes))) // CELL)
    yield bench
    for start in range(0, len(harts), strip):
        columns = harts[start:start + strip]
        heads = [f"{n} hart{'s' if n > 1 else ''}" for n in columns]
        yield (left(axes) + "".join(head.rjust(CELL) for head in heads)).rstrip()
        yield "  " + symbols.rule * (len(left(axes)) - 2 + CELL * len(columns))
        for key in curves:
            top, bottom = zip(*(_cell(points.get((key, n)), symbols) for n in columns))
            yield left(variants[key]) + "".join(text.rjust(CELL) for text in top)
            if any(bottom):
                yield left([""] * len(axes)) + "".join(text.rjust(CELL) for text in bottom)
        yield ""


def cycles_text(cycles):
    return f"{cycles:.1f}" if 0 < cycles < 99.95 else f"{cycles:.0f}"


def _names(curves, symbols):
    return [curve["bench"] if not curve["variant"] else variant_label(curve["variant"], symbols.times) for curve in curves]


def _causes(results, symbols):
    """What an operation costs at the largest hart count, and why."""
    most = max(r["harts"] for r in results)
    rows = [(r, attribution.per_operation(r)) for r in results if r["harts"] == most]
    rows = [(r, share) for r, share in rows if share]
    if not rows:
        return
    names = _names([r for r, _ in rows], symbols)
    width = max(map(len, names))
    causes = attribution.shown_causes([share for _, share in rows], (WIDTH - width - 2) // CAUSE_CELL - 2)
    yield f"  Cycles of an operation at {most} hart{'s' if most > 1 else ''}, by cause"
    heads = ["cycles", *map(attribution.label, causes), "other"]
    yield ("  " + " " * width + "".join(head.rjust(CAUSE_CELL) for head in heads)).rstrip()
    for name, (_, share) in zip(names, rows):
        shown = [share.get(cause, 0) for cause in causes]
        total = sum(share.values())
        cells = [cycles_text(value) for value in (total, *shown, total - sum(shown))]
        yield "  " + name.ljust(width) + "".join(cell.rjust(CAUSE_CELL) for cell in cells)
    yield ""


def _explained(results, symbols):
    """The blocks under that of the figures: causes, events, scaling."""
    most = max(r["harts"] for r in results)
    yield from _causes(results, symbols)
    at_most = [r for r in results if r["harts"] == most]
    yield from counters.block(at_most, most, _names(at_most, symbols), symbols, WIDTH)
    curves = scaling.analyse(results)
    yield from scaling_text.block(curves, _names(curves, symbols), symbols, WIDTH)


def table(run, results, symbols):
    """The whole text, with the run's caveats and failures at its foot."""
    lines = []
    for bench in dict.fromkeys(r["bench"] for r in results):
        of_bench = [r for r in results if r["bench"] == bench]
        lines += _block(bench, of_bench, symbols)
        good = [r for r in of_bench if r["status"] == "ok"]
        if good:
            lines += _explained(good, symbols)
    if any(r["status"] == "ok" for r in results):
        lines.append(f"Operations per second, {_basis(run, results, symbols)}; below it speedup and efficiency.")
    lines += [f"Failed: {describe(r, symbols)}: {r.get('reason', 'no reason given')}"
              for r in results if r["status"] != "ok"]
    if run["status"] not in ("complete", "failed"):
        lines.append(f"Incomplete ({run['status']}): {run['reason']}")
    lines += [*run.get("left_out", []), *caveat(run)]
    return "\n".join(lines) + "\n"


def _basis(run, results, symbols):
    """What the figures are figures of."""
    if run["clock"] == "model":
        return f"in virtual time of {run['profile']}"
    trials = next((r["trials"] for r in results if "trials" in r), 1)
    return f"median of {trials} trials {symbols.plus_minus} half their range" if trials > 1 else "one trial"


def describe(point, symbols):
    """A data point in words: `frame.churn hartcache×ttas, 4 harts`."""
    variant = symbols.times.join(str(value) for value in point["variant"].values())
    subject = f"{point['bench']} {variant}".rstrip()
    return f"{subject}, {point['harts']} hart{'s' if point['harts'] > 1 else ''}"


def caveat(run):
    """What a reader must know when harts outnumber host cores under the host's clock; else nothing."""
    cores = run["host"]["cores"]
    if run["clock"] != "host" or run["harts_max"] <= cores:
        return []
    return [f"Warning: up to {run['harts_max']} harts shared {cores} host core{'s' if cores > 1 else ''} under CLOCK=host.",
            f"  Beyond {cores} harts these figures show the host's scheduler as much as the kernel: throughput",
            "  cannot grow, and whoever waits for a lock may wait for a hart that is not running. Compare",
            f"  variants at up to {cores} harts, or measure on a machine with at least {run['harts_max']} cores."]
