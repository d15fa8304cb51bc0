"""What a process in the cage gives up, and what it says where it cannot."""

import sys

import pytest

from app.inference.cage import confinement
from tests.app.inference.cage.measured import confined

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there are cages on Linux alone")

CONFINE = """
from app.inference.cage.confinement import confine
said = confine(300_000_000)
"""


def test_a_process_that_could_give_up_everything_says_nothing():
    assert confined(CONFINE + "print(repr(said))") == "''\n"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("open('/etc/hostname')", "PermissionError"),
        ("bytearray(400_000_000)", "MemoryError"),
        ("import socket; socket.socket()", "PermissionError"),
        ("import os; os.write(os.open('/tmp', os.O_TMPFILE | os.O_WRONLY), b'x')", "PermissionError"),
    ],
)
def test_what_was_given_up_is_gone(code, error):
    lines = f"try:\n    {code}\nexcept BaseException as error:\n    print(type(error).__name__)\n"
    assert confined(CONFINE + lines) == error + "\n"


def test_it_may_still_allocate_what_it_was_allowed():
    assert confined(CONFINE + "print(len(bytearray(100_000_000)))") == "100000000\n"


UNFILTERED = """
import seccompy
from app.inference.cage.confinement import confine

def refuse(_):
    raise {error}

seccompy.Filter.load = refuse
said = confine(2**30)
"""


@pytest.mark.parametrize(
    "error", ["seccompy.SeccompError('no such call')", "LookupError('this machine')", "ValueError('flags')"]
)
def test_a_kernel_that_filters_no_calls_is_named_and_no_other_file_can_be_opened(error):
    lines = "try:\n    open('/etc/hostname')\nexcept OSError as error:\n    print(said, error.strerror)\n"
    said = confined(UNFILTERED.format(error=error) + lines)
    assert said.startswith("system calls are not filtered on this ")
    assert error.split("'")[1] in said
    assert said.endswith(" Too many open files\n")


def test_where_the_library_of_filters_is_missing_it_says_so():
    assert confined("import sys; sys.modules['seccompy'] = None\n" + CONFINE + "print(said)").startswith(
        "system calls are not filtered: "
    )


def test_a_process_that_may_work_for_some_seconds_is_ended_by_the_system_after_them():
    """A process without the filter is one that can say so."""
    lines = "import resource\nprint(resource.getrlimit(resource.RLIMIT_CPU))"
    unfiltered = "import sys; sys.modules['seccompy'] = None\n" + CONFINE
    assert confined(unfiltered.replace("300_000_000", "300_000_000, 7") + lines) == "(7, 7)\n"


def test_a_limit_that_is_lower_already_stays():
    lines = "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (5, 5))\n"
    lowered = lines + CONFINE.replace("300_000_000", "300_000_000, 2**40") + "print(said == '')"
    assert confined(lowered) == "True\n"


def test_another_system_has_no_cage(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert confinement.possible() == "win32 has no seccomp"
