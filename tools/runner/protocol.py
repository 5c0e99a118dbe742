"""The lines by which the guest talks to the runner: `@word {json}`, between text for people.

    @config {...}              the guest's whole configuration, once
    @plan {"points":N}         how many data points will come
    @begin {...}               the point being measured: bench, variant, harts, point
    @map {"parts":[...]}       what lies where in its memory, if asked for by map=1
    @result {...}              a data point, without what only the runner knows
    @end {"failed":n}          all done; the guest powers off next. With "next":m what is left, from point m on, is for another boot
    @stress {...}              the sum of a stress run
    @trace {...}               bytes of a recorded trace of heap calls: offset, and data in base64
    @recorded {...}            all of it has come: name, calls, bytes, lost
"""
import json
import re

# What each line must at least carry, and of which type.
REQUIRED = {
    "config": {},
    "plan": {"points": int},
    "begin": {"bench": str, "variant": dict, "harts": int},
    "map": {"parts": list},
    "result": {"bench": str, "variant": dict, "harts": int, "status": str},
    "end": {"failed": int},
    "stress": {"seconds": (int, float), "seed": int, "harts": int, "operations": int, "checks": int, "failures": int},
    "trace": {"offset": int, "data": str},
    "recorded": {"name": str, "calls": int, "bytes": int, "lost": int},
}
LINE = re.compile(r"@(" + "|".join(REQUIRED) + r")\b\s*(.*)")


class Malformed(Exception):
    """A line that is addressed to the runner but cannot be used; the text says why."""


def parse(line):
    """(word, object) of a line addressed to the runner, None for any other text."""
    match = LINE.match(line)
    if not match:
        return None
    word, text = match.groups()
    try:
        value = json.loads(text)
    except ValueError as error:
        raise Malformed(f"@{word} is followed by no valid JSON ({error}): {text[:120]}") from error
    if not isinstance(value, dict):
        raise Malformed(f"@{word} is not followed by an object: {text[:120]}")
    for name, kind in REQUIRED[word].items():
        if not isinstance(value.get(name), kind):
            raise Malformed(f"@{word} has no valid \"{name}\": {text[:120]}")
    if word == "result" and value["status"] == "ok" and not isinstance(value.get("ops_per_sec"), (int, float)):
        raise Malformed(f"@result is ok but has no \"ops_per_sec\": {text[:120]}")
    return word, value
