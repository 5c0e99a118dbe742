"""What a curve of throughput over harts says of itself: two coefficients, the knee, and what grew up to the knee.

The coefficients are those of the Universal Scalability Law (N. J. Gunther, "A simple capacity model of massively parallel
transaction systems", 1993; "Guerrilla Capacity Planning", 2007), docs/scaling.md. The knee is measured, not fitted: it
needs no law, and so no SciPy.
"""
import json
import math

from . import attribution, counters
from .results import variant_key

# Where an operation costs more than twice what it costs alone, harts lose more than they do.
KNEE_EFFICIENCY = 0.5
# One hart fixes the scale; two more counts are what two coefficients need.
COUNTS_MIN = 3
# Six digits behind the point: at 64 harts half of the last one of kappa is 0.2 % of an operation, and what the fit's
# arithmetic leaves in place of nothing is far below.
DIGITS = 6
# Fits that are further off than this are shown but nothing is concluded from them: so much may be all that neighbouring
# counts differ by where a curve levels off or turns.
ERROR_MAX = 0.15
# What an event must grow by, of an operation, to be named.
EVENT_MIN = 0.0005


class NoFit(Exception):
    """Why a curve has no coefficients."""


def law(n, sigma, kappa):
    """How many times as much as on one hart an operation costs on each of n."""
    return 1 + sigma * (n - 1) + kappa * n * (n - 1)


def _solver():
    # Here, since most commands fit nothing and the import takes longer than all else that they do.
    try:
        from scipy.optimize import nnls
    except ImportError as error:
        raise NoFit(f"SciPy is missing ({error}); tools/setup installs it") from error
    return nnls


def fit(rates):
    """The law's coefficients for {harts: operations a second}. Raises NoFit.

    Written for the cost of an operation relative to one hart, n X(1) / X(n), the law is linear in them: least squares with
    coefficients of at least 0 has one solution, whatever one starts from. Residuals are relative to the measured cost, for
    a curve spans decades."""
    if 1 not in rates:
        raise NoFit("one hart, which the law is relative to, was not measured")
    if len(rates) < COUNTS_MIN:
        raise NoFit(f"{COUNTS_MIN} hart counts are needed")
    costs = {n: n * rates[1] / rate for n, rate in sorted(rates.items()) if n > 1}
    try:
        solution, _ = _solver()([[(n - 1) / cost, n * (n - 1) / cost] for n, cost in costs.items()],
                                [(cost - 1) / cost for cost in costs.values()])
    except RuntimeError as error:
        raise NoFit(f"the fit does not converge: {error}") from error
    sigma, kappa = (round(float(value), DIGITS) for value in solution)
    error = round(math.sqrt(sum((law(n, sigma, kappa) / cost - 1) ** 2 for n, cost in costs.items()) / len(costs)), 4)
    return {"sigma": sigma, "kappa": kappa, "peak": peak(sigma, kappa), "error": error,
            "freedom": len(costs) - 2, "trusted": len(costs) > 2 and error <= ERROR_MAX}


def peak(sigma, kappa):
    """Harts at which the law's throughput is greatest; None when it never falls."""
    if kappa == 0 and sigma <= 1:
        return None
    return round(max(1.0, math.sqrt((1 - sigma) / kappa)), 2) if sigma < 1 else 1.0


def _growth(one, other, name):
    return other.get(name, 0) - one.get(name, 0)


def _cost(result):
    """Cycles of an operation: by cause where they are known, for these leave out what the workload does not measure."""
    return sum(attribution.per_operation(result).values()) or result.get("cycles_per_op") or 0


def causes(one, result):
    """What of an operation's cost grew from one hart to `result`: names with their share of the growth. Waiting for locks
    comes first if it is half of it or more, since that is what the program does; then the greatest of the causes, which are
    what the machine does meanwhile."""
    grown = _cost(result) - _cost(one)
    if grown <= 0:
        return []
    waited = min(1, _growth(counters.per_operation(one), counters.per_operation(result), counters.WAIT) / grown)
    before, after = attribution.per_operation(one), attribution.per_operation(result)
    named = [(counters.WAIT, waited)] if waited >= 0.5 else []
    if after:
        cause = max(after, key=lambda name: _growth(before, after, name))
        named.append((cause, _growth(before, after, cause) / grown))
    elif waited > 0 and not named:
        named.append((counters.WAIT, waited))
    return [{"name": name, "share": round(share, 4)} for name, share in named]


def events(one, result):
    """The event which grew most, of an operation, and the lines that changed hands."""
    before, after = counters.per_operation(one), counters.per_operation(result)
    grown = {name: _growth(before, after, name) for name in after if name != counters.WAIT}
    programs = [name for name in grown if name != "line_transfer"]
    top = [max(programs, key=grown.get)] if programs else []
    return [{"name": name, "one": round(before.get(name, 0), 6), "knee": round(after[name], 6)}
            for name in [*top, "line_transfer"] if grown.get(name, 0) >= EVENT_MIN]


def knee(points):
    """{harts: result} to the count with the greatest throughput, if more were measured, or to the first with an efficiency
    below one half, whichever comes sooner; and what grew until there. None when neither is there. Points at which nothing was to be had
    are no part of a curve."""
    points = {n: r for n, r in points.items() if r["ops_per_sec"]}
    if 1 not in points:
        return None
    one = points[1]
    best = max(sorted(points), key=lambda n: points[n]["ops_per_sec"])
    for harts, result in sorted(points.items())[1:]:
        efficiency = result["ops_per_sec"] / one["ops_per_sec"] / harts
        if efficiency < KNEE_EFFICIENCY or harts == best != max(points):
            return {"harts": harts, "efficiency": round(efficiency, 6), "is_peak": harts == best != max(points),
                    "causes": causes(one, result), "events": events(one, result)}
    return None


def _usl(rates):
    try:
        return fit(rates), None
    except NoFit as reason:
        return None, str(reason)


def analyse(results):
    """A description of each curve with at least one good point, in their order: what scaling.json holds."""
    curves = {}
    for result in results:
        if result["status"] == "ok":
            curves.setdefault(variant_key(result), []).append(result)
    described = []
    for of_curve in curves.values():
        points = {r["harts"]: r for r in of_curve}
        usl, reason = _usl({n: r["ops_per_sec"] for n, r in points.items() if r["ops_per_sec"]})
        described.append({"bench": of_curve[0]["bench"], "variant": of_curve[0]["variant"], "harts": sorted(points),
                          "usl": usl, "reason": reason, "knee": knee(points)})
    return described


def dump(results):
    """The text of scaling.json."""
    return json.dumps({"curves": analyse(results)}, indent=2, ensure_ascii=False) + "\n"
