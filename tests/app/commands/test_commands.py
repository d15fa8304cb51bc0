"""python -m app inspect and completion, and what is common to all commands."""

import json
import shutil
import subprocess

import pytest

from app.commands.parser import SHELLS
from tests.conftest import ROOT
from tests.conftest import command as run


def test_inspect_prints_one_line_per_stage(model_dir, client):
    lines = run("inspect", "tutorial", model_dir=model_dir).stdout.splitlines()
    stages = client.get("/models/tutorial").json()["stages"]
    assert lines[0] == "tutorial 0.0.1: cat or not_cat, from a photo stretched to 100x100"
    assert [line.split()[0] for line in lines[4:]] == [stage["name"] for stage in stages]
    conv = next(line for line in lines if line.startswith("block2_conv"))
    assert conv.split() == ["block2_conv", "convolution", "50x50x32", "4,640", "3x3", "1x1", "same", "8x8", "block1_relu"]


def test_inspect_answers_json_as_the_service_does(model_dir, client):
    printed = json.loads(run("inspect", "tutorial", "--json", model_dir=model_dir).stdout)
    response = client.get("/models/tutorial").json()
    assert printed == {name: response[name] for name in printed}


def test_inspect_takes_a_folder_and_shows_the_layers_inside_stages():
    lines = run("inspect", "model/cat", "--inner").stdout.splitlines()
    names = [line.split()[0] for line in lines[4:]]
    contract = json.loads((ROOT / "model/cat/contract.json").read_text())
    assert sorted(names) == sorted(stage["name"] for stage in contract["stages"] + contract["inner"])
    assert names.index("block3_expand") < names.index("block3")


def test_inspect_reports_a_file_that_differs_from_its_contract(model_dir, tmp_path):
    shutil.copytree(model_dir / "tutorial", tmp_path / "tutorial")
    (tmp_path / "tutorial" / "model.onnx").write_bytes(b"other")
    result = run("inspect", str(tmp_path / "tutorial"))
    assert result.returncode == 2
    assert "its contract says" in result.stderr


@pytest.mark.parametrize("arguments", [("nothing",), ("tutorial", "--network-version", "9")])
def test_inspect_names_what_exists(model_dir, arguments):
    result = run("inspect", *arguments, model_dir=model_dir)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert ("dense, tutorial" in result.stderr) or ("it has 0.0.1" in result.stderr)


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_gets_its_completion(shell):
    script = run("completion", shell)
    assert script.returncode == 0, script.stderr
    assert "catscope" in script.stdout
    assert "network-version" in script.stdout


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash here")
def test_bash_completes_commands_and_options(tmp_path):
    (tmp_path / "completion").write_text(run("completion", "bash").stdout)
    script = """
source completion
complete_line() {
  COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
  function_name=$(complete -p catscope | sed 's/.*-F \\([^ ]*\\).*/\\1/'); "$function_name"; echo "${COMPREPLY[@]}"
}
complete_line catscope ins
complete_line catscope classify --res
"""
    result = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["inspect", "--resume"]


def test_a_wrong_command_names_the_right_ones():
    result = run("clasify")
    assert result.returncode == 2
    assert "classify" in result.stderr


def test_serve_is_what_happens_without_a_command(tmp_path):
    for arguments in ((), ("serve",)):
        result = run(*arguments, model_dir=tmp_path)
        assert result.returncode == 1
        assert "no network in" in result.stderr
