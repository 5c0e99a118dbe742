"""Events of an operation, from the counters of a result, for the table and for what is said of a curve."""

# (head of a column, how it is spoken of), in the order of the columns. A counter that a newer kernel adds (trace/counter.h)
# comes behind these, by its own name.
COUNTERS = {
    "refill": ("refill", "refills"), "drain": ("drain", "drains"), "steal": ("steal", "steals"),
    "remote_free": ("remote free", "remote frees"), "cas_retry": ("CAS retry", "CAS retries"),
    "lock_acquire": ("lock", "locks taken"), "lock_contend": ("contended", "contentions"),
    "lock_wait_cycles": ("wait cycles", "lock wait"), "line_transfer": ("transfer", "transfers"),
    "ipi": ("IPI", "IPIs"),
}
# What the model's caches did besides, in all of the machine: its causes of cycles say the same in cycles.
MODELS_OWN = ("insns", "invalidation", "l2_hit", "llc_hit", "dram", "tlb_miss", "tlb_miss_user", "walk_cycles", "sfence_page",
              "sfence_all", "page_fault", "model_ipi", "rescue", "stale")
# Counted in cycles, and so comparable with what an operation costs; the others are events.
WAIT = "lock_wait_cycles"


def per_operation(result):
    """{counter: so many of one operation}, those that are known."""
    counters, ops = result.get("counters"), result.get("ops")
    if not counters or not ops:
        return {}
    order = [*(name for name in COUNTERS if name in counters), *(name for name in counters if name not in COUNTERS)]
    return {name: counters[name] / ops for name in order if name not in MODELS_OWN and counters[name] is not None}


def head(name):
    return COUNTERS[name][0] if name in COUNTERS else name.replace("_", " ")


def words(name):
    return COUNTERS[name][1] if name in COUNTERS else name.replace("_", " ")


def rate_text(rate):
    """Three digits, as far as the third behind the point: 0.016, 1.00, 15.5, 34461."""
    if 0 < rate < 0.0005:
        return "<0.001"
    digits = 0 if rate == 0 else 3 if rate < 0.9995 else 2 if rate < 9.995 else 1 if rate < 99.95 else 0
    return f"{rate:.{digits}f}"


def block(results, most, names, symbols, width):
    """The lines of the table's block at the largest hart count: variants down, counters that any of them has across, in as
    many strips as `width` asks for."""
    rows = [per_operation(result) for result in results]
    shown = [name for name in dict.fromkeys(name for row in rows for name in row) if any(row.get(name) for row in rows)]
    if not shown:
        return
    left = max(map(len, names))
    yield f"  Events of an operation at {most} hart{'s' if most > 1 else ''}"
    for strip in _strips(shown, width - 2 - left):
        yield "  " + " " * left + "".join(head(name).rjust(_cell(name)) for name in strip)
        for title, row in zip(names, rows):
            cells = (rate_text(row[name]) if name in row else symbols.none for name in strip)
            yield "  " + title.ljust(left) + "".join(text.rjust(_cell(name)) for name, text in zip(strip, cells))
    yield ""


def _cell(name):
    # The longest numbers are cycles of a wait with six digits.
    return max(len(head(name)), 6) + 2


def _strips(names, room):
    strips, free = [], 0
    for name in names:
        if _cell(name) > free:
            strips.append([])
            free = room
        strips[-1].append(name)
        free -= _cell(name)
    return strips
