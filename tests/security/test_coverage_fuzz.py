"""Coverage-guided fuzzing of the upload path for a quarter of an hour, and whether what it calls works at all."""

import importlib.util
import re
import subprocess
import sys
from random import Random

import pytest

from tests.conftest import ROOT
from tests.record import record
from tests.security import fuzz_upload
from tests.security.fuzz_upload import corpus, damaged, look, photos, upload_of

SECONDS = 900


@pytest.mark.parametrize("name", sorted(photos()))
def test_every_photo_that_the_fuzzer_starts_from_is_read(name):
    kind = name.partition("-")[0].upper()
    assert look(upload_of(photos()[name])) == kind


def test_what_the_fuzzer_may_produce_is_answered_with_one_of_our_errors():
    samples = list(photos().values())
    random = Random(1)
    verdicts = {
        look(damaged(upload_of(random.choice(samples)), upload_of(random.choice(samples)), random)) for _ in range(300)
    }
    assert {"JPEG", "InvalidRequest", "BrokenImage", "UnsupportedImage"} <= verdicts


def test_any_other_error_ends_the_fuzzing(monkeypatch):
    monkeypatch.setattr(fuzz_upload.decode, "decode", lambda *_: {}["a tag"])
    with pytest.raises(KeyError, match="a tag"):
        look(upload_of(photos()["jpeg"]))


@pytest.mark.promise("P11")
@pytest.mark.soak
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="needs atheris: see requirements/fuzz.in")
@pytest.mark.parametrize(
    ("kind", "result_name"), [("", "coverage-guided fuzz of uploads"), ("heic", "coverage-guided fuzz of HEIC")]
)
def test_a_quarter_of_an_hour_of_guided_fuzzing_finds_no_crash(tmp_path, kind, result_name):
    words = corpus(tmp_path / "corpus", kind)
    (tmp_path / "found").mkdir()
    command = [sys.executable, "-m", "tests.security.fuzz_upload", *([fuzz_upload.BARE] if kind else [])]
    command += [str(tmp_path / "corpus"), f"-dict={words}", "-seed=1"]
    command += [f"-max_total_time={SECONDS}", "-rss_limit_mb=1024", "-timeout=10", "-max_len=65536", "-len_control=0"]
    command += ["-print_final_stats=1", f"-artifact_prefix={tmp_path}/found/"]
    with (tmp_path / "log").open("wb") as file:  # long: the libraries that read photos report each damage, too
        result = subprocess.run(command, cwd=ROOT, stdout=file, stderr=file, timeout=SECONDS + 300, check=False)
    log = (tmp_path / "log").read_text(errors="replace")
    print(log[-3000:])
    assert [path.name for path in (tmp_path / "found").iterdir()] == [], f"kept in {tmp_path}/found: {log[-3000:]}"
    assert result.returncode == 0, log[-3000:]
    last = re.findall(r"#(\d+)\s+DONE\s+cov: (\d+) ft: (\d+) corp: (\d+)", log)[-1]
    executions, edges, features, inputs = map(int, last)
    seconds = int(re.findall(r"in (\d+) second", log)[-1])
    record(
        result_name,
        executions=executions,
        edges=edges,
        features=features,
        inputs_kept=inputs,
        seconds=seconds,
        crashes=0,
    )
