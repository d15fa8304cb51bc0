"""Coverage-guided fuzzing of the upload path, a quarter of an hour of it; and that what it calls works at all."""

import importlib.util
import re
import subprocess
import sys
from random import Random

import pytest

from tests.conftest import ROOT
from tests.record import record
from tests.security import fuzz_upload
from tests.security.fuzz_upload import corpus, damaged, form, look, photos

SECONDS = 900


@pytest.mark.parametrize("name", sorted(photos()))
def test_every_photo_that_the_fuzzer_begins_with_is_read(name):
    kind = name.partition("-")[0].upper()
    assert look(form(photos()[name])) == kind


def test_what_the_fuzzer_may_find_is_answered_with_an_error_of_ours():
    found = list(photos().values())
    random = Random(1)
    said = {look(damaged(form(random.choice(found)), form(random.choice(found)), random)) for _ in range(300)}
    assert {"JPEG", "InvalidRequest", "BrokenImage", "UnsupportedImage"} <= said


def test_an_error_that_is_not_ours_ends_the_fuzzing(monkeypatch):
    monkeypatch.setattr(fuzz_upload.decode, "decode", lambda *_: {}["a tag"])
    with pytest.raises(KeyError, match="a tag"):
        look(form(photos()["jpeg"]))


@pytest.mark.soak
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="needs atheris: see requirements/fuzz.in")
def test_a_quarter_of_an_hour_of_guided_fuzzing_finds_no_crash(tmp_path):
    words = corpus(tmp_path / "corpus")
    (tmp_path / "found").mkdir()
    command = [sys.executable, "-m", "tests.security.fuzz_upload", str(tmp_path / "corpus"), f"-dict={words}", "-seed=1"]
    command += [f"-max_total_time={SECONDS}", "-rss_limit_mb=1024", "-timeout=10", "-max_len=65536", "-len_control=0"]
    command += ["-print_final_stats=1", f"-artifact_prefix={tmp_path}/found/"]
    with (tmp_path / "said").open("wb") as file:  # much: the libraries that read photos tell of each damage, too
        done = subprocess.run(command, cwd=ROOT, stdout=file, stderr=file, timeout=SECONDS + 300, check=False)
    said = (tmp_path / "said").read_text(errors="replace")
    print(said[-3000:])
    assert [path.name for path in (tmp_path / "found").iterdir()] == [], f"kept in {tmp_path}/found: {said[-3000:]}"
    assert done.returncode == 0, said[-3000:]
    last = re.findall(r"#(\d+)\s+DONE\s+cov: (\d+) ft: (\d+) corp: (\d+)", said)[-1]
    executions, edges, features, kept = map(int, last)
    seconds = int(re.findall(r"in (\d+) second", said)[-1])
    record(
        "coverage-guided fuzz of uploads",
        executions=executions,
        edges=edges,
        features=features,
        inputs_kept=kept,
        seconds=seconds,
        crashes=0,
    )
