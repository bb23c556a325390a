"""How `pio test` reads the lines that the tests print: no test framework is needed or fetched.

vector 0: PASS, 0 bytes differ      one case
PASS: 4 of 4 vectors                the end; a program that stops before it is a failure
"""

import re

import click
from platformio.test.result import TestCase, TestStatus
from platformio.test.runners.base import TestRunnerBase

CASE = re.compile(r"(\w+ \d+): (PASS|FAIL)(?:, (.*))?$")
END = re.compile(r"(PASS|FAIL): \d+ of \d+ \w+$")
NAMES = {"PASS": TestStatus.PASSED, "FAIL": TestStatus.FAILED}


class CustomTestRunner(TestRunnerBase):
    def stage_testing(self):
        super().stage_testing()
        only_built = self.options is not None and self.options.without_testing
        if not only_built and not self.test_suite.is_finished():
            message = "the program stopped before its last line"
            click.echo(message)
            self._add("the whole program", "FAIL", message)

    def on_testing_line_output(self, line):
        text = line.strip()
        case, end = CASE.search(text), END.search(text)
        if case:
            self._add(*case.groups())
        elif end:
            self.test_suite.on_finish()
        click.echo(line, nl=False)

    def _add(self, name, status, message):
        self.test_suite.add_case(
            TestCase(name=name, status=NAMES[status], message=message if status == "FAIL" else None)
        )
