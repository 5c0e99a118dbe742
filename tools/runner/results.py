"""The folder of a run: results.jsonl, run.json, console.log, table.txt, plots/.

results.jsonl holds whole lines only, at every moment and whatever goes wrong: a line that could not be
written in full is cut off again.
"""
import datetime
import json
import os

from .failure import Failure

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RESULTS = os.path.join(ROOT, "results")
LATEST = os.path.join(RESULTS, "latest")

# The order in which DESIGN shows a result; what else the guest says comes behind.
FIELDS = ("bench", "variant", "harts", "clock", "profile", "parameters", "ops", "cycles", "ops_per_sec", "cycles_per_op",
          "insns_per_op", "speedup", "efficiency", "latency", "latency_free", "latency_last", "latency_none",
          "fairness", "figures", "attribution", "counters", "memory", "trials", "spread", "status", "reason")
# Counters that the guest cannot read by itself.
OUTSIDE_COUNTERS = {"line_transfer": None}


def variant_key(result):
    """What makes two results the same curve."""
    return result["bench"], json.dumps(result["variant"], sort_keys=True)


def variant_label(variant, times):
    return times.join(str(value) for value in variant.values()) or "-"


def enrich(results, clock, profile):
    """Copies of the results in DESIGN's form: speedup and efficiency against the same variant at one hart,
    null where that was not measured."""
    base = {variant_key(r): r["ops_per_sec"] for r in results if r["harts"] == 1 and r["status"] == "ok"}
    enriched = []
    for result in results:
        full = dict(result, clock=clock, profile=profile)
        if result["status"] == "ok":
            one = base.get(variant_key(result))
            full["speedup"] = round(result["ops_per_sec"] / one, 6) if one else None
            full["efficiency"] = round(result["ops_per_sec"] / one / result["harts"], 6) if one else None
            full["counters"] = {**OUTSIDE_COUNTERS, **result.get("counters", {})}
        ordered = {name: full[name] for name in FIELDS if name in full}
        ordered.update(full)
        enriched.append(ordered)
    return enriched


def dump(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class Appender:
    """A file that only ever holds what was written in full."""

    def __init__(self, path):
        self.path = path
        self.size = 0
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)

    def write(self, data):
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self.fd, view):]
        except OSError as error:
            os.ftruncate(self.fd, self.size)
            raise Failure(f"cannot write {self.path}: {error.strerror}") from error
        self.size += len(data)

    def close(self):
        os.close(self.fd)


class RunFolder:
    """A run being written. Creates the folder; `discard` undoes that when there was nothing to measure."""

    def __init__(self, path, is_default):
        self.path = path
        self.is_default = is_default
        self.created = not os.path.isdir(path)
        try:
            os.makedirs(path, exist_ok=True)
            if os.path.exists(self.file("results.jsonl")) and os.path.getsize(self.file("results.jsonl")):
                raise Failure(f"{path} holds results already: choose another OUT, or remove that folder")
            self._results = Appender(self.file("results.jsonl"))
            self._consoles = {}
        except OSError as error:
            raise Failure(f"cannot write results to {path}: {error.strerror}") from error

    @classmethod
    def create(cls, out, commit):
        """The folder that the user named, or a new one by date and commit."""
        if out:
            return cls(os.path.abspath(out), False)
        name = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ-") + commit
        path, n = os.path.join(RESULTS, name), 1
        while os.path.exists(path):
            n += 1
            path = os.path.join(RESULTS, f"{name}-{n}")
        return cls(path, True)

    def file(self, name):
        return os.path.join(self.path, name)

    def shown(self):
        """The path as the user would type it."""
        relative = os.path.relpath(self.path)
        return self.path if relative.startswith("..") else relative

    def console(self, name):
        """The log of one boot's console, to write bytes to."""
        try:
            log = self._consoles[name] = Appender(self.file(name))
        except OSError as error:
            raise Failure(f"cannot write {self.file(name)}: {error.strerror}") from error
        return log

    def append_result(self, result):
        self._results.write(dump(result).encode() + b"\n")

    def replace(self, name, text):
        """Write a file so that readers see either the old text or the new."""
        path = self.file(name)
        try:
            with open(path + ".new", "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(path + ".new", path)
        except OSError as error:
            try:
                os.unlink(path + ".new")
            except OSError:
                pass
            raise Failure(f"cannot write {path}: {error.strerror}") from error

    def replace_results(self, results):
        self.replace("results.jsonl", "".join(dump(result) + "\n" for result in results))

    def replace_run(self, run):
        self.replace("run.json", json.dumps(run, indent=2, ensure_ascii=False) + "\n")

    def close(self):
        for file in (self._results, *self._consoles.values()):
            file.close()

    def discard(self):
        for name in ("results.jsonl", "run.json", *self._consoles):
            if os.path.exists(self.file(name)):
                os.unlink(self.file(name))
        if self.created:
            os.rmdir(self.path)

    def make_latest(self):
        """Point results/latest here, if this is one of the default folders."""
        if self.is_default:
            os.symlink(os.path.basename(self.path), LATEST + ".new")
            os.replace(LATEST + ".new", LATEST)


def load(path):
    """(run, results) of a run's folder, for redrawing."""
    try:
        with open(os.path.join(path, "run.json"), encoding="utf-8") as file:
            run = json.load(file)
        with open(os.path.join(path, "results.jsonl"), encoding="utf-8") as file:
            results = [json.loads(line) for line in file]
    except OSError as error:
        raise Failure(f"{path} is not the folder of a run: {error.strerror}: {error.filename}") from error
    except ValueError as error:
        raise Failure(f"{path} holds a damaged run: {error}") from error
    return run, results
