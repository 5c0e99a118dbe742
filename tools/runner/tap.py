"""Test results as text, in the way of the Test Anything Protocol, picked out of whatever else is printed."""
import re

PLAN = re.compile(r"1\.\.(\d+)\s*(?:#.*)?$")
RESULT = re.compile(r"(not )?ok\b\s*\d*\s*(?:- )?\s*([^#]*?)\s*(?:#\s*(.*))?$")
CONTEXT_LINES_MAX = 40


class Test:
    """One result: "passed", "failed" or "skipped", and the text that explains it."""

    def __init__(self, name, status, text):
        self.name = name
        self.status = status
        self.text = text


class Tap:
    """Fed with lines. A program may print several plans, one a group; they add up."""

    def __init__(self):
        self.tests = []
        self.planned = None
        self._context = []

    def feed(self, line):
        plan = PLAN.match(line)
        if plan:
            self.planned = (self.planned or 0) + int(plan[1])
            return
        result = RESULT.match(line)
        if not result:
            self._context = (self._context + [line])[-CONTEXT_LINES_MAX:]
            return
        failed, name, remark = result.groups()
        remark = remark or ""
        if remark.lower().startswith("skip"):
            status = "skipped"
        else:
            status = "failed" if failed else "passed"
        # What was printed since the result before is what this test had to say.
        self.tests.append(Test(name, status, self._context + ([remark] if remark else [])))
        self._context = []

    def problem(self):
        """What is wrong with the whole, or None."""
        if self.planned is None:
            return "it printed no plan of its tests"
        if len(self.tests) != self.planned:
            return f"it planned {self.planned} tests and reported {len(self.tests)}"
        return None

    def tail(self):
        """The last lines, for a program that ended where it should not have."""
        return self._context
