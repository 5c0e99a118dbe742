#!/usr/bin/python3
"""Run one file of unittest tests and report them as TAP. usage: tap.py FILE [GLOB of test names]"""
import fnmatch
import importlib.util
import os
import sys
import traceback
import unittest

sys.dont_write_bytecode = True


def flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


class TapResult(unittest.TestResult):
    """Prints one line a test, with what went wrong above it."""

    def __init__(self):
        super().__init__()
        self.number = 0

    def _line(self, test, ok, remark=""):
        self.number += 1
        print(f"{'ok' if ok else 'not ok'} {self.number} - {name_of(test)}{remark}", flush=True)

    def _explain(self, error):
        for line in "".join(traceback.format_exception(*error)).splitlines():
            print("# " + line)

    def addSuccess(self, test):
        self._line(test, True)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self._explain(error)
        self._line(test, False)

    def addError(self, test, error):
        super().addError(test, error)
        self._explain(error)
        self._line(test, False)

    def addSkip(self, test, reason):
        self._line(test, True, f" # skip {reason}")

    def addSubTest(self, test, subtest, error):
        """Subtests count as part of their test; the first that fails fails it."""
        if error is not None:
            raise AssertionError("use one test for each case instead of subTest")


def name_of(test):
    """Without the module, which names the suite. A class that cannot be set up is no test and has another form."""
    return test.id() if " (" in test.id() else test.id().split(".", 1)[1]


def main():
    path = sys.argv[1]
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    tests = list(flatten(unittest.defaultTestLoader.loadTestsFromModule(module)))
    if len(sys.argv) > 2:
        tests = [test for test in tests if fnmatch.fnmatchcase(name_of(test), sys.argv[2])]
    print(f"1..{len(tests)}", flush=True)
    result = TapResult()
    unittest.TestSuite(tests).run(result)
    return 0 if result.wasSuccessful() else 1


sys.exit(main())
