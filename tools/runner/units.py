"""Numbers as people read them."""
import locale
import sys

SI = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""), (1e-3, "m"))


def si(value):
    """Three significant digits and an SI prefix: 31.2M, 840k, 7.00; 0 is 0."""
    if value == 0:
        return "0"
    for scale, prefix in SI:
        if value >= scale * 0.9995 or scale == SI[-1][0]:
            scaled = value / scale
            digits = 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0
            return f"{scaled:.{digits}f}{prefix}"
    return "0"


def spread_text(result, symbols):
    """Half the distance between the best and the worst trial, in per cent of the median: ` ±3%`. Empty if unknown, or
    if there was one trial only."""
    spread, middle = result.get("spread"), result.get("ops_per_sec")
    if not spread or not middle or result.get("trials") == 1:
        return ""
    percent = 50.0 * (spread["max"] - spread["min"]) / middle
    return f" {symbols.plus_minus}{percent:.0f}%" if percent < 999.5 else f" {symbols.plus_minus}>999%"


def duration(seconds):
    minutes, rest = divmod(int(round(seconds)), 60)
    return f"{minutes}:{rest:02d}"


class Symbols:
    """The few characters beyond ASCII, or what stands for them where the locale has no others."""

    def __init__(self, unicode):
        self.times = "×" if unicode else "x"
        self.plus_minus = "±" if unicode else "+-"
        self.rule = "─" if unicode else "-"
        self.none = "–" if unicode else "-"

    @classmethod
    def of_stream(cls, stream):
        encoding = getattr(stream, "encoding", None) or locale.getpreferredencoding(False)
        return cls(encoding.lower().replace("-", "") == "utf8" and sys.platform != "win32")
