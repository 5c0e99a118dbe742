"""The contended-line report for people: of each data point what its lines belong to, and the hottest of them."""
from .table import describe

WIDTH = 100
# Longer lists of harts are told by their number.
HART_NAMES_MAX = 12
# What costs less is in lines.json only.
SHOWN_SHARE = 0.01
SHOWN_STRUCTURES = 8
SHOWN_LINES = 5
SHOWN_PLACES = 5
# With more data points than this a line for each is what a terminal has room for.
SHOWN_POINTS = 8


def ranges(mask):
    """The bits of a mask as people write them: 0-3,7."""
    runs = []
    for bit in (i for i in range(mask.bit_length()) if mask >> i & 1):
        if runs and runs[-1][1] == bit - 1:
            runs[-1][1] = bit
        else:
            runs.append([bit, bit])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def harts_text(mask):
    names = ranges(mask)
    if len(names) > HART_NAMES_MAX:
        lowest, highest = (mask & -mask).bit_length() - 1, mask.bit_length() - 1
        return f"{mask.bit_count()} harts of {lowest}-{highest}"
    return f"hart{'s' if mask & (mask - 1) else ''} {names}"


def amount(value):
    """Three digits or so, without a prefix: transfers and cycles an operation are near 1."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _count(n, noun):
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _wrapped(head, clauses):
    """The clauses behind the head, as many on a line as fit, the others below the first."""
    lines, current = [], head
    for i, clause in enumerate(clauses):
        clause += "; " if i + 1 < len(clauses) else ""
        if current != head and len(current) + len(clause.rstrip()) > WIDTH:
            lines.append(current.rstrip())
            current = " " * len(head)
        current += clause
    return lines + [current.rstrip()]


class _PointText:
    """The text of one data point."""

    def __init__(self, point):
        self.point = point
        self.ops = max(point["ops"], 1)
        self.cycles = max(point["cycles"], 1)

    def costs(self, entry):
        return f"{amount(entry['transfers'] / self.ops)} transfers, {amount(entry['cycles'] / self.ops)} cycles"

    def _share(self, entry):
        return f"{entry['cycles'] / self.cycles:.0%}"

    def lines(self, symbols):
        point = self.point
        title = describe(point, symbols)
        if not point["contended_lines"]:
            yield f"{title}: no contended line"
            return
        yield f"{title}: {_count(point['contended_lines'], 'contended line')}, {self.costs(point)} an operation"
        shown = [line for line in point["lines"] if line["cycles"] >= SHOWN_SHARE * self.cycles][:SHOWN_LINES]
        if point["contended_lines"] > len(shown):
            yield from self._structures()
        for rank, line in enumerate(shown, 1):
            yield from self._line(rank, line)
        if point["dropped"]:
            yield f"  {point['dropped']} transfers were of lines beyond the number that the model follows"

    def _structures(self):
        rows = self.point["structures"]
        shown = [row for row in rows if row["cycles"] >= SHOWN_SHARE * self.cycles][:SHOWN_STRUCTURES]
        for row in shown:
            flag = f", {row['false_sharing']} of them shared falsely" if row["false_sharing"] else ""
            yield f"  {self._share(row):>4}  {row['name']}: {_count(row['lines'], 'line')}{flag}, {self.costs(row)}"
        if len(rows) > len(shown):
            rest = sum(row["cycles"] for row in rows[len(shown):])
            yield f"  {rest / self.cycles:>4.0%}  {_count(len(rows) - len(shown), 'other')}"

    def _line(self, rank, line):
        yield f"  {rank}. {line['name']}"
        yield f"     {self.costs(line)} an operation, {self._share(line)} of all; line {line['paddr']}"
        yield from _verdict(line)
        places = _places(line)
        for place in places[:SHOWN_PLACES]:
            yield _place_text(place)
        left = line["other_pcs"]["transactions"] + sum(place["transactions"] for place in places[SHOWN_PLACES:])
        if left:
            yield f"     {left:>7} from elsewhere"


def _verdict(line):
    if line["sharing"] == "false":
        groups = {}
        for hart in line["harts"]:
            what = ("writes " if int(hart["written"], 16) else "reads ") + hart["name"]
            groups[what] = groups.get(what, 0) | 1 << hart["hart"]
        return _wrapped("     false sharing: ", [f"{harts_text(mask)} {what}" for what, mask in groups.items()])
    if line["sharing"] == "mixed":
        share = line["useless_refetches"] / line["refetches"]
        return [f"     partly false sharing: {share:.0%} of {line['refetches']} refetches brought no news that the hart"
                " then used"]
    return []


def _places(line):
    """The instructions of a line, those that the compiler made of one place in the source together."""
    places = {}
    for pc in line["pcs"]:
        key = pc["access"], pc["function"], pc["source"] or pc["pc"]
        where = f"{pc['function']}  {pc['source'] or pc['pc']}"
        place = places.setdefault(
            key, {"access": pc["access"], "where": where, "harts": 0, "transactions": 0, "cycles": 0})
        place["harts"] |= int(pc["harts"], 16)
        place["transactions"] += pc["transactions"]
        place["cycles"] += pc["cycles"]
    return sorted(places.values(), key=lambda place: -place["cycles"])


def _place_text(place):
    average = place["cycles"] / place["transactions"]
    return (f"     {place['transactions']:>7} x {average:>4.0f} cycles  {place['access']:<6} "
            f" {harts_text(place['harts']):<10}  {place['where']}")


def _brief(point, symbols):
    """A data point in a line: what it costs, and where most of that comes from."""
    costs = _PointText(point).costs(point)
    row = point["structures"][0]
    falsely = sum(line["cycles"] for line in point["lines"] if line["sharing"] == "false") / max(point["cycles"], 1)
    flag = f"; {falsely:.0%} false sharing" if falsely >= SHOWN_SHARE else ""
    share = row["cycles"] / max(point["cycles"], 1)
    return f"  {describe(point, symbols)}: {costs}; {share:.0%} {row['name']}{flag}"


def summary(points, symbols):
    """What to print at a run's end: the report itself if it is short."""
    contended = [point for point in points if point["contended_lines"]]
    if len(contended) <= SHOWN_POINTS:
        return text(points, symbols)
    lines = ["Contended lines, of an operation; the details are in lines.txt:",
             *(_brief(point, symbols) for point in contended)]
    if len(points) > len(contended):
        lines.append(f"  {_count(len(points) - len(contended), 'data point')} without any")
    return "\n".join(lines) + "\n"


def text(points, symbols):
    """The whole report. `points` as lines.json has them."""
    lines = ["Contended lines: what harts took from each other in each data point's trial. Cycles are those of the",
             "requests, waiting for the line included; of a store's the buffer hides what it can."]
    for point in points:
        lines += ["", *_PointText(point).lines(symbols)]
    return "\n".join(lines) + "\n"
