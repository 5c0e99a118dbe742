"""`tools/run table`: print an earlier run's table again."""
import sys

from .results import LATEST, enrich, load
from .table import table
from .units import Symbols

ACCEPTED = ("RUN",)


def main(settings):
    run, results = load(settings.text("RUN", LATEST))
    print(table(run, enrich(results, run["clock"], run["profile"]), Symbols.of_stream(sys.stdout)), end="")
    return 0
