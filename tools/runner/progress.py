"""The progress line: rewritten in place on a terminal, one plain line a data point elsewhere."""
import shutil
import sys
import time

from .results import variant_label
from .units import duration, si, spread_text

# Of all the work: from less of it, with the boot before it, nobody can tell how long the rest takes.
TELLING_SHARE = 0.02


class Progress:
    """Points of a run as they come. weight(number) is how long one takes in comparison with others."""

    def __init__(self, symbols, weight=lambda number: 1, stream=sys.stderr):
        self.weight = weight
        self.numbers = set()
        self.symbols = symbols
        self.stream = stream
        self.in_place = stream.isatty()
        self.started = time.monotonic()
        self.done = 0
        self.planned = 0
        self.dirty = False

    def _where(self, point, number):
        total = str(self.planned) if self.planned else "?"
        harts = f"{point['harts']} hart{'s' if point['harts'] > 1 else ''}"
        return (f"[{number:>{len(total)}}/{total}] {point['bench']} "
                f"{variant_label(point['variant'], self.symbols.times)} {harts}")

    def begin(self, point):
        if self.in_place:
            self._show(self._where(point, self.done + 1) + " ...", final=False)

    def _left_s(self):
        """Seconds until all is done, from what the points that are done weigh; None when they weigh next to nothing."""
        done = sum(self.weight(number) for number in self.numbers)
        total = sum(self.weight(number) for number in range(1, self.planned + 1))
        if done < TELLING_SHARE * total:
            return None
        return (time.monotonic() - self.started) * max(0, total - done) / done

    def result(self, result, number):
        self.done += 1
        self.numbers.add(number)
        text = self._where(result, self.done)
        if result["status"] == "ok":
            text += f"  {si(result['ops_per_sec'])}ops/s"
            if result.get("speedup") is not None:
                text += f"  {result['speedup']:.2f}{self.symbols.times}"
            text += spread_text(result, self.symbols)
        else:
            text += f"  failed: {result.get('reason', 'no reason given')}"
        left = self._left_s() if self.done < self.planned else None
        if left is not None:
            text += f"   about {duration(left)} left"
        self._show(text, final=result["status"] != "ok")

    def _show(self, text, final):
        if not self.in_place:
            print(text, file=self.stream, flush=True)
            return
        columns = shutil.get_terminal_size().columns
        self.stream.write("\r\033[K" + text[:columns - 1] + ("\n" if final else ""))
        self.stream.flush()
        self.dirty = not final

    def finish(self):
        """Leave the cursor on a line of its own."""
        if self.dirty:
            self.stream.write("\r\033[K")
            self.stream.flush()
            self.dirty = False
