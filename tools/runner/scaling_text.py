"""What scaling.py found, in words: a block of the table, and the marks in a figure."""
import textwrap

from . import attribution, counters, scaling

# Causes of cycles where they stand in a sentence; in heads of columns they are shorter.
CAUSE_WORDS = {
    "compute": "instructions", "atomic": "atomics", "trap": "traps", "mmio": "device access", "tlb": "page walks",
    "store_drain": "store drains", "miss": "cache misses", "queue": "queueing", "spin": "spinning", "ipi_wait": "calls",
}

# A space that textwrap does not break at.
STUCK = "\u00a0"


def cause_words(cause):
    """`lock wait 82%`"""
    name = cause["name"]
    said = counters.words(name) if name == counters.WAIT else CAUSE_WORDS.get(name, attribution.label(name))
    return f"{said} {100 * cause['share']:.0f}%"


def event_words(event):
    return f"{counters.words(event['name'])} +{counters.rate_text(event['knee'] - event['one'])}"


def mark_words(knee):
    """Of a mark in a figure: the first that there is to say."""
    said = [*map(cause_words, knee["causes"]), *map(event_words, knee["events"])]
    return f"knee at {knee['harts']}: {said[0] if said else 'cause unknown'}"


def _coefficient(value):
    return "0" if value == 0 else f"{value:.6f}" if value < 0.001 else f"{value:.4f}"


def _peak(usl, harts):
    if not usl["trusted"]:
        return "?"
    if usl["peak"] is None:
        return "none"
    # Beyond what was measured the law says that there is one, not where.
    return f">{harts[-1]}" if usl["peak"] > harts[-1] else f"{usl['peak']:.1f}"


def _row(curve, symbols):
    usl, knee = curve["usl"], curve["knee"]
    cells = [symbols.none] * 4
    if usl:
        error = f"{100 * usl['error']:.1f}%"
        cells = [_coefficient(usl["sigma"]), _coefficient(usl["kappa"]), _peak(usl, curve["harts"]), error]
    if not knee:
        return [*cells, "none" if 1 in curve["harts"] else symbols.none], ""
    # A name and its number stay on one line.
    said = [words.replace(" ", STUCK) for words in (*map(cause_words, knee["causes"]), *map(event_words, knee["events"]))]
    return [*cells, str(knee["harts"])], ", ".join(said)


HEADS = (("sigma", 10), ("kappa", 10), ("peak", 6), ("error", 7), ("knee", 6))


def block(curves, names, symbols, width):
    """The lines of one benchmark's curves; none when no curve has two points."""
    if all(len(curve["harts"]) < 2 for curve in curves):
        return
    left = max(map(len, names))
    yield "  Universal Scalability Law, and the knee: the peak, or where an operation first costs over double"
    yield "  " + " " * left + "".join(head.rjust(cell) for head, cell in HEADS) + "  what grew up to the knee"
    indent = 2 + left + sum(cell for _, cell in HEADS) + 2
    for name, curve in zip(names, curves):
        cells, said = _row(curve, symbols)
        lines = [line.replace(STUCK, " ") for line in textwrap.wrap(said, width - indent, break_long_words=False)] or [""]
        line = "  " + name.ljust(left) + "".join(text.rjust(cell) for text, (_, cell) in zip(cells, HEADS))
        yield (line + "  " + lines[0]).rstrip()
        yield from (" " * indent + more for more in lines[1:])
    yield from _remarks(curves, names, width)
    yield ""


def _remarks(curves, names, width):
    """Why some have no coefficients, and which fits are bad."""
    said = {}
    for name, curve in zip(names, curves):
        if curve["reason"]:
            said.setdefault(f"no fit: {curve['reason']}", []).append(name)
        elif curve["usl"]["error"] > scaling.ERROR_MAX:
            said.setdefault("the law does not describe this curve", []).append(name)
        elif not curve["usl"]["freedom"]:
            said.setdefault("two coefficients go through any two points: measure more hart counts", []).append(name)
    for remark, of in said.items():
        subject = "" if len(of) == len(curves) else f" ({', '.join(of)})"
        text = remark[0].upper() + remark[1:] + subject + "."
        yield from textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
