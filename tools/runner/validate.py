"""`make validate-model`: every experiment that the machine model must pass, as a table of what is expected and what came.

The folder of the results (OUT=, default results/validate-model) gets the table as text and JSON, everything that
was measured, and the figures.
"""
import dataclasses
import json
import os
import sys
import textwrap

from . import experiments, experiments_locks, experiments_tlb, host
from .failure import Failure
from .lab import Lab
from .model import PROFILE_DEFAULT, find_profile
from .plot import GnuplotMissing
from .profile import Profile
from .results import RESULTS
from .validate_figures import curve_trials, draw

ACCEPTED = ("PROFILE", "JOBS", "OUT", "QEMU", "IPI")
WIDTHS = 42, 27, 18        # of the columns; with the verdict within 100

EXPERIMENTS = (
    experiments.chase, experiments.ping_pong, experiments.shared_atomic_cost, experiments.atomics,
    experiments.false_sharing, experiments_locks.test_and_set, experiments_locks.ticket, experiments_locks.mcs,
    experiments.interrupts, experiments_tlb.switch, experiments_tlb.flush, experiments_tlb.fault, experiments_tlb.stale,
    experiments.quantum, experiments.repeats,
)


def profile_of(settings):
    name = settings.text("PROFILE", PROFILE_DEFAULT)
    return name, Profile(find_profile(name))


def measure(lab, profile, more=()):
    """Run every experiment; returns the rows."""
    chosen = [make(profile) for make in EXPERIMENTS]
    lab.run([trial for e in chosen if not e.crowded for trial in e.trials.values()] + list(more))
    for experiment in chosen:
        if experiment.crowded:
            lab.run(experiment.trials.values(), jobs=len(experiment.trials), pinned=False)
    rows = []
    for experiment in chosen:
        got = {name: lab.results(trial) for name, trial in experiment.trials.items()}
        shown = experiment.reference and lab.profile != PROFILE_DEFAULT
        rows += [dataclasses.replace(row, judged=False) if shown else row for row in experiment.judge(got)]
    return rows


def _cells(row):
    columns = [textwrap.wrap(text, width) or [""] for text, width in
               zip((row.experiment, row.expected, row.got), WIDTHS)]
    for i in range(max(map(len, columns))):
        yield "  ".join((c[i] if i < len(c) else "").ljust(w) for c, w in zip(columns, WIDTHS)), i == 0


def table(rows):
    head = "  ".join(text.ljust(width) for text, width in zip(("experiment", "expected", "got"), WIDTHS))
    lines = [head + "  verdict", "-" * (sum(WIDTHS) + 2 * len(WIDTHS) + len("verdict"))]
    for row in rows:
        lines += [(f"{text}  {row.verdict}" if first else text).rstrip() for text, first in _cells(row)]
        if row.note:
            lines.append(f"    ({row.note})")
    verdicts = [row.verdict for row in rows]
    lines += ["", ", ".join(f"{verdicts.count(verdict)} {verdict.lower()}" for verdict in ("good", "BAD", "shown"))]
    return "\n".join(lines) + "\n"


def counter(stream=sys.stderr):
    """Shows how many machines have been run, where somebody is looking."""
    def show(done, total):
        if stream.isatty() and total:
            print(f"\r{min(done, total)} of {total} machines", end="\n" if done >= total else "", file=stream, flush=True)
    return show


def write(folder, name, text):
    try:
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Failure(f"cannot write to {folder}: {error.strerror}") from error


def main(settings):
    name, profile = profile_of(settings)
    lab = Lab(settings, name, counter())
    rows = measure(lab, profile, curve_trials(profile).values())
    text = f"The machine model, profile {name}\n\n{table(rows)}"
    print(text, end="")
    folder = settings.text("OUT", os.path.join(RESULTS, "validate-model"))
    write(folder, "table.txt", text)
    write(folder, "table.json", json.dumps({
        "profile": name, "commit": host.commit(), "dirty": host.dirty(), "qemu": lab.qemu.version,
        "rows": [{**dataclasses.asdict(row), "verdict": row.verdict} for row in rows]}, indent=2, ensure_ascii=False) + "\n")
    write(folder, "results.jsonl", "".join(
        json.dumps({"trial": str(trial), **result}, ensure_ascii=False) + "\n"
        for trial, listener in lab.done.items() for result in listener.results))
    try:
        draw(folder, name, profile, lab)
    except GnuplotMissing as missing:
        print(f"No figures: {missing}", file=sys.stderr)
    print(f"Results: {os.path.relpath(folder)}")
    return 1 if any(row.verdict == "BAD" for row in rows) else 0
