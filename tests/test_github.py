"""GitHub and pre-commit accept what they read, and it calls commands that exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

GITHUB = ROOT / ".github"
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").iterdir() if path.name != "config.yml")
WORKFLOWS = sorted((GITHUB / "workflows").iterdir())
SCHEMAS = {
    "dependabot": [GITHUB / "dependabot.yml"],
    "github-issue-config": [GITHUB / "ISSUE_TEMPLATE" / "config.yml"],
    "github-issue-forms": FORMS,
    "github-workflows": WORKFLOWS,
}


def checked(schema: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def strings(node: object) -> bool:
    """Whether every option of every list in a form is a string, as GitHub's YAML reads it: `- Yes` is not."""
    if isinstance(node, dict):
        return all(isinstance(one, str) for one in node.get("options", [])) and all(map(strings, node.values()))
    return not isinstance(node, list) or all(map(strings, node))


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_file_fits_githubs_schema(schema):
    result = checked(schema, *SCHEMAS[schema])
    assert result.returncode == 0, result.stdout


def test_the_schema_rejects_an_unknown_field_of_a_form(tmp_path):
    spoilt = tmp_path / "bug.yml"
    spoilt.write_text((GITHUB / "ISSUE_TEMPLATE" / "bug.yml").read_text().replace("type: dropdown", "type: dropup"))
    assert checked("github-issue-forms", spoilt).returncode == 1


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_every_option_of_a_form_is_a_string(form):
    assert strings(yaml.safe_load(form.read_text()))
    assert not strings({"body": [{"attributes": {"options": yaml.safe_load("[Yes, No]")}}]})


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.stem)
def test_a_workflow_may_only_read_and_runs_the_commands_of_the_makefile(workflow):
    described = yaml.safe_load(workflow.read_text())
    assert described["permissions"] == {"contents": "read"}
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.M))
    for job in described["jobs"].values():
        assert "permissions" not in job
        assert {step["run"].removeprefix("make ") for step in job["steps"] if "run" in step} <= targets


def test_pre_commit_accepts_its_configuration():
    command = [sys.executable, "-m", "pre_commit", "validate-config", ROOT / ".pre-commit-config.yaml"]
    assert subprocess.run(command, check=False, timeout=60).returncode == 0


def test_pre_commit_runs_what_make_check_runs_with_the_same_tools():
    needs, recipe = re.search(r"^check: (.*?)  ## .*\n((?:\t.+\n)+)", (ROOT / "Makefile").read_text(), re.M).groups()
    assert needs == "$(VENV)/.dev check-js"
    expected = [line.strip().removesuffix(" .").replace("$(RUN)", ".venv/bin/python") for line in recipe.splitlines()]
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert local["repo"] == "local"
    assert [hook["entry"].removesuffix(" --force-exclude") for hook in local["hooks"]] == [
        *expected,
        "make --no-print-directory check-js",
    ]


def test_every_link_of_the_security_policy_leads_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "SECURITY.md").read_text())
    assert links
    assert all((ROOT / link).exists() for link in links)
