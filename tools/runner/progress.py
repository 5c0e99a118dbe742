"""The progress line: rewritten in place on a terminal, one plain line a data point elsewhere."""
import shutil
import sys
import time

from .results import variant_label
from .units import duration, si, spread_text


class Progress:
    def __init__(self, symbols, stream=sys.stderr):
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

    def result(self, result):
        self.done += 1
        text = self._where(result, self.done)
        if result["status"] == "ok":
            text += f"  {si(result['ops_per_sec'])}ops/s"
            if result.get("speedup") is not None:
                text += f"  {result['speedup']:.2f}{self.symbols.times}"
            text += spread_text(result, self.symbols)
        else:
            text += f"  failed: {result.get('reason', 'no reason given')}"
        if self.done < self.planned:
            left = (time.monotonic() - self.started) / self.done * (self.planned - self.done)
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
