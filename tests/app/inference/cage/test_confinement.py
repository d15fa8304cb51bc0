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
UNFILTERED = "import sys; sys.modules['seccompy'] = None\n"
"""Such a process can still ask for its limits, and say so."""


def printed(code: str) -> str:
    """Prints what code comes to, or what it raises."""
    return f"try:\n    print({code})\nexcept BaseException as error:\n    print(type(error).__name__)\n"


def test_a_process_that_could_give_up_everything_says_nothing():
    assert confined(CONFINE + "print(repr(said))") == "''\n"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("open('/etc/hostname')", "PermissionError"),
        ("bytearray(400_000_000)", "MemoryError"),
        ("__import__('socket').socket()", "PermissionError"),
        ("__import__('os').open('/tmp', 0o20200000 | 1)", "PermissionError"),  # O_TMPFILE | O_WRONLY
        ("__import__('os').fork()", "PermissionError"),
        ("__import__('os').kill(1, 0)", "PermissionError"),
    ],
)
def test_what_was_given_up_is_gone(code, error):
    assert confined("import socket\n" + CONFINE + printed(code)) == error + "\n"


def test_it_may_still_allocate_what_it_was_allowed_beyond_what_it_holds():
    held = "import mmap\nheld = mmap.mmap(-1, 200_000_000)\n"
    assert confined(held + CONFINE + printed("len(bytearray(250_000_000))")) == "250000000\n"


def test_a_file_that_is_open_already_takes_no_byte_more(tmp_path):
    file = f"import os\nopened = os.open({str(tmp_path / 'file')!r}, os.O_CREAT | os.O_WRONLY)\n"
    assert confined(file + CONFINE + printed("os.write(opened, b'x')")) == "OSError\n"
    assert (tmp_path / "file").read_bytes() == b""


def test_threads_go_on_and_begin_without_any_rights():
    code = """
import threading
def try_it():
    confined.wait()
    try:
        open("/etc/hostname")
    except PermissionError:
        refused.append(1)
confined, refused = threading.Event(), []
before = threading.Thread(target=try_it)
before.start()
"""
    more = """
threading.stack_size(256 * 1024)
threads = [threading.Thread(target=try_it) for _ in range(20)]
for thread in threads:
    thread.start()
confined.set()
for thread in (before, *threads):
    thread.join()
print(len(refused))
"""
    assert confined(code + CONFINE + more) == "21\n"


def test_calls_can_be_allowed_besides():
    code = CONFINE.replace("300_000_000", "300_000_000, also=('uname',)")
    assert confined("import os\n" + code + printed("os.uname().sysname")) == "Linux\n"
    assert confined("import os\n" + CONFINE + printed("os.uname().sysname")) == "PermissionError\n"


def test_it_ends_with_the_thread_that_began_it_and_nobody_reads_its_memory():
    code = CONFINE.replace("300_000_000", "300_000_000, also=('prctl',)")
    asked = """
sent = ctypes.c_int(-1)
system.prctl(2, ctypes.byref(sent))  # PR_GET_PDEATHSIG
print(sent.value, system.prctl(3))  # PR_GET_DUMPABLE
"""
    assert confined("import ctypes\nsystem = ctypes.CDLL(None)\nsystem.prctl\n" + code + asked) == "9 0\n"


OUT_OF_MEMORY = "import os\nscore = os.open('/proc/self/oom_score_adj', os.O_RDONLY)\n"


def test_it_is_the_first_to_end_where_memory_runs_out():
    assert confined(OUT_OF_MEMORY + CONFINE + printed("os.read(score, 10)")) == "b'1000\\n'\n"


REFUSE = """
def refuse(*_):
    raise {error}
"""
NO_PROC = """
from pathlib import Path
read_text = Path.read_text
Path.read_text = lambda path, *how, **more: refuse() if "proc" in path.parts else read_text(path, *how, **more)
Path.write_text = refuse
"""


def test_a_system_that_keeps_no_such_files_takes_nothing_else_away():
    code = REFUSE.format(error="FileNotFoundError") + NO_PROC + CONFINE
    assert confined(code + "print(repr(said))\n" + printed("open('/etc/hostname')")) == "''\nPermissionError\n"


@pytest.mark.parametrize("error", ["ValueError('not allowed to raise maximum limit')", "OSError(22, 'Invalid argument')"])
def test_a_limit_that_cannot_be_set_keeps_no_other_from_being_set(error):
    code = """
import resource
set_it = resource.setrlimit
def setrlimit(limit, most):
    if limit == resource.RLIMIT_AS:
        refuse()
    set_it(limit, most)
resource.setrlimit = setrlimit
"""
    limits = "print(resource.getrlimit(resource.RLIMIT_FSIZE), resource.getrlimit(resource.RLIMIT_CORE))"
    assert confined(UNFILTERED + REFUSE.format(error=error) + code + CONFINE + limits) == "(0, 0) (0, 0)\n"


UNLOADED = """
import seccompy
seccompy.Filter.load = refuse
"""


@pytest.mark.parametrize(
    "error", ["seccompy.SeccompError('no such call')", "LookupError('this machine')", "ValueError('flags')"]
)
def test_a_kernel_that_filters_no_calls_is_named_and_no_other_file_can_be_opened(error):
    code = "import os\nos.close(0)\n" + REFUSE.format(error=error) + UNLOADED + CONFINE
    lines = "try:\n    open('/etc/hostname')\nexcept OSError as error:\n    print(said, error.strerror)\n"
    said = confined(code + lines)
    assert said.startswith("system calls are not filtered on this ")
    assert error.split("'")[1] in said
    assert said.endswith(" Too many open files\n")


def test_where_the_library_of_filters_is_missing_it_says_so():
    assert confined(UNFILTERED + CONFINE + "print(said)").startswith("system calls are not filtered: ")


@pytest.mark.parametrize(("asked", "limit"), [("300_000_000, 7", "(7, 7)\n"), ("300_000_000", "(50, 60)\n")])
def test_a_process_that_may_work_for_some_seconds_is_ended_by_the_system_after_them(asked, limit):
    before = "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (50, 60))\n"
    code = before + UNFILTERED + CONFINE.replace("300_000_000", asked)
    assert confined(code + "print(resource.getrlimit(resource.RLIMIT_CPU))") == limit


def test_a_limit_that_is_lower_already_stays():
    lines = "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (5, 5))\n"
    lowered = lines + CONFINE.replace("300_000_000", "300_000_000, 2**40") + "print(said == '')"
    assert confined(lowered) == "True\n"


def test_another_system_has_no_cage(monkeypatch):
    assert confinement.possible() == ""
    monkeypatch.setattr(sys, "platform", "win32")
    assert confinement.possible() == "win32 has no seccomp"
