"""`make sweep`: the same points under other numbers for what nobody has published, and for the model's own quantum.

A ranking of variants that all settings agree on is a result. Two variants that change places under any of them are
*undecided*: which is faster depends on an assumption.
"""
import itertools
import json
import os

from . import host
from .lab import Lab, Trial
from .plan import FRAME_DEFAULT
from .results import RESULTS
from .settings import VM_CHOICES
from .units import si
from .validate import counter, profile_of, write

ACCEPTED = ("BENCH", "FRAME", "HEAP", "LOCK", *VM_CHOICES, "HARTS", "PROFILE", "QUICK", "JOBS", "OUT", "QEMU", "IPI")
BENCH_DEFAULT = "frame.churn,frame.batch,frame.random,lock.counter"
HARTS_DEFAULT = (8,)
QUICK_CYCLES = 60000


def settings_of(p):
    """(name, overrides) of each: the profile itself, then one assumption changed at a time. The quantum is none of the
    machine's, so what depends on it is the model's error."""
    yield "profile", ()
    for name, factor in (("½", 0.5), ("2", 2)):
        yield f"transfer ×{name}", tuple((key, round(getattr(p, key) * factor)) for key in ("transfer_near", "transfer_far"))
    for name, factor in (("½", 0.5), ("2", 2)):
        yield f"occupancy ×{name}", (("home_occupancy", round(p.home_occupancy * factor)),)
    for name, factor in (("½", 0.5), ("2", 2)):
        yield f"ipi ×{name}", (("ipi", round(p.ipi * factor)),)
    for quantum in (10, 100):
        yield f"quantum {quantum}", (("quantum", quantum),)


def variant(result):
    return "×".join(result["variant"].values())


def undecided(rates):
    """Pairs of variants that change places, with a setting that says so: (one, other, setting). `rates` has for each
    setting, the profile first, the throughput of each variant."""
    base = next(iter(rates.values()))
    for one, other in itertools.combinations(sorted(base, key=base.get, reverse=True), 2):
        for setting, of in rates.items():
            if of[one] < of[other]:
                yield one, other, setting
                break


def collect(got):
    """{(bench, harts): {setting: {variant: operations a second}}}"""
    points = {}
    for setting, results in got.items():
        for r in results:
            points.setdefault((r["bench"], r["harts"]), {}).setdefault(setting, {})[variant(r)] = r["ops_per_sec"]
    return points


def block(bench, harts, rates):
    """One point: settings down, variants across, best first, then what is undecided."""
    base = next(iter(rates.values()))
    order = sorted(base, key=base.get, reverse=True)
    widths = [max(len(name), 7) for name in order]
    yield f"{bench}, {harts} harts, operations per second"
    yield "  " + " " * 14 + "".join("  " + name.rjust(width) for name, width in zip(order, widths))
    for setting, of in rates.items():
        yield f"  {setting:<14}" + "".join("  " + si(of[name]).rjust(width) for name, width in zip(order, widths))
    pairs = list(undecided(rates))
    if len(order) > 1 and not pairs:
        yield "  The ranking holds under every setting."
    for one, other, setting in pairs:
        yield f"  undecided: {one} and {other} (change places under {setting})"
    yield ""


def main(settings):
    name, profile = profile_of(settings)
    lab = Lab(settings, name, counter())
    words = [f"bench={settings.word('BENCH') or BENCH_DEFAULT}"]
    if not any(settings.text(key) for key in ("BENCH", "FRAME")):
        words.append(f"frame={','.join(FRAME_DEFAULT)}")
    words += [f"{key.lower()}={settings.word(key)}" for key in ("FRAME", "HEAP", "LOCK", *VM_CHOICES) if settings.word(key)]
    if settings.flag("QUICK"):
        words.append(f"trial_cycles={QUICK_CYCLES}")
    harts = tuple(settings.harts(HARTS_DEFAULT))
    trials = {setting: Trial(" ".join(words), harts, overrides) for setting, overrides in settings_of(profile)}
    lab.run(trials.values())
    points = collect({setting: lab.results(trial) for setting, trial in trials.items()})
    text = "\n".join(line for (bench, n), rates in points.items() for line in block(bench, n, rates))
    pairs = sum(len(list(undecided(rates))) for rates in points.values())
    text += f"{pairs} pair{'' if pairs == 1 else 's'} of variants undecided. Profile {name}.\n"
    print(text, end="")
    folder = settings.text("OUT", os.path.join(RESULTS, "sweep"))
    write(folder, "table.txt", text)
    write(folder, "sweep.json", json.dumps({
        "profile": name, "commit": host.commit(), "dirty": host.dirty(), "qemu": lab.qemu.version,
        "settings": {setting: dict(trial.overrides) for setting, trial in trials.items()},
        "points": [{"bench": bench, "harts": n, "ops_per_sec": rates, "undecided": [
            {"variants": [one, other], "setting": setting} for one, other, setting in undecided(rates)]}
            for (bench, n), rates in points.items()]}, indent=2, ensure_ascii=False) + "\n")
    print(f"Results: {os.path.relpath(folder)}")
    return 0
