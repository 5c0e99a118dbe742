"""The knee of each curve in the figure of throughput: a ring around the point, and in the key, under the name of the curve,
at how many harts that is and what grew most until there. Words at the rings would lie on each other where curves are many."""
import re

from . import scaling
from .figure import quote
from .scaling_text import mark_words

NOTE = "Ring: the peak, or where an operation first costs over twice what it costs alone, if that is sooner"
# Lines of the key that fit beside the axes: at its usual size; and at the smaller one, beyond which it would spread into
# columns over the axes' place.
LINES_USUAL, LINES_MAX = 14, 27


class Marks:
    def __init__(self, curves):
        self.knees = {curve: knee for curve in curves for knee in [scaling.knee(curve.points)] if knee}
        # The ideal has a line, too.
        self.lines = len(curves) + len(self.knees) + 1
        self.worded = self.lines <= LINES_MAX

    def add(self, figure, curve, apart=1):
        """Behind the curve itself, whose key the words belong under; `apart` is by how much it was moved along the axis."""
        knee = self.knees.get(curve)
        if knee:
            colour = re.match(r"lc rgb '#\w+'", curve.style).group()
            title = f"title {quote(mark_words(knee))}" if self.worded else "notitle"
            figure.add([(knee["harts"] * apart, curve.points[knee["harts"]]["ops_per_sec"])],
                       f"using 1:2 with points {colour} pt 6 ps 2.2 lw 2 {title}")

    def explain(self, figure):
        """What the rings are, and a key that fits."""
        if self.knees:
            figure.notes.append(NOTE + ("; with what grew most up to there." if self.worded else "; table.txt has the cause."))
        if self.lines > LINES_USUAL:
            figure.settings.append("set key spacing 1.0 font ',10'")
