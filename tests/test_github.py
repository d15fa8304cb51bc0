"""GitHub and pre-commit accept what they read, and it calls commands that exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from app.inference.networks.signatures import SIGNED
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


def test_the_continuous_integration_may_only_read_and_runs_the_commands_of_the_makefile():
    described = yaml.safe_load((GITHUB / "workflows" / "ci.yml").read_text())
    assert described["permissions"] == {"contents": "read"}
    for job in described["jobs"].values():
        assert "permissions" not in job
        assert {step["run"].removeprefix("make ") for step in job["steps"] if "run" in step} <= targets()


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.M))


RIGHTS = {
    "sign": {"contents": "read", "id-token": "write"},
    "build": {"contents": "read"},
    "test-wheel": {"contents": "read"},
    "test-image": {"contents": "read"},
    "attest": {"id-token": "write", "attestations": "write"},
    "publish-package": {"id-token": "write"},
    "publish-image": {"contents": "read", "packages": "write", "id-token": "write", "attestations": "write"},
    "publish-notes": {"contents": "write"},
}
"""Nobody needs more to release: whoever writes anything runs nothing of this repository's own, but for its Dockerfile."""


def release() -> dict[str, dict]:
    described = yaml.safe_load((GITHUB / "workflows" / "release.yml").read_text())
    assert described["permissions"] == {}
    return described["jobs"]


def test_each_job_of_a_release_has_the_rights_that_it_needs():
    assert {name: job["permissions"] for name, job in release().items()} == RIGHTS


def test_jobs_that_may_write_run_no_command_of_the_makefile():
    for name, job in release().items():
        runs = [step["run"] for step in job["steps"] if "run" in step]
        makes = {target for run in runs for target in re.findall(r"\bmake (?:--\S+ )*([a-z-]+)", run)}
        assert makes <= targets()
        assert not (makes and "write" in RIGHTS[name].values()), name


def test_a_release_signs_the_files_that_the_service_verifies():
    (signs,) = [step["run"] for step in release()["sign"]["steps"] if "model_signing" in step.get("run", "")]
    (signed,) = re.findall(r"^ *(contract\.json .*)\) ;;$", signs, re.M)
    assert tuple(signed.split(" | ")) == SIGNED


def test_nothing_is_published_before_the_wheel_and_the_image_are_tested():
    jobs = release()

    def before(name: str) -> set[str]:
        needs = jobs[name].get("needs", [])
        needs = [needs] if isinstance(needs, str) else needs
        return {*needs, *(one for need in needs for one in before(need))}

    for name in jobs:
        if name.startswith("publish"):
            assert before(name) >= {"build", "test-wheel", "test-image"}, name


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.stem)
def test_every_action_is_pinned_by_its_hash_with_its_version(workflow):
    uses = re.findall(r"uses: (.+)", workflow.read_text())
    assert uses
    assert all(re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use) for use in uses)


def zizmor(folder: Path) -> int:
    command = [Path(sys.executable).with_name("zizmor"), "--offline", "--quiet", folder]
    return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode


def test_zizmor_finds_nothing_unsafe_and_would_find_it(tmp_path):
    assert zizmor(GITHUB) == 0
    spoilt = (GITHUB / "workflows" / "release.yml").read_text().replace('"$GITHUB_REF_NAME"', "${{ github.ref_name }}")
    (tmp_path / "release.yml").write_text(spoilt)
    assert zizmor(tmp_path / "release.yml") > 0


def test_pre_commit_accepts_its_configuration():
    command = [sys.executable, "-m", "pre_commit", "validate-config", ROOT / ".pre-commit-config.yaml"]
    assert subprocess.run(command, check=False, timeout=60).returncode == 0


def test_pre_commit_runs_what_make_check_runs_with_the_same_tools():
    needs, recipe = re.search(r"^check: (.*?)  ## .*\n((?:\t.+\n)+)", (ROOT / "Makefile").read_text(), re.M).groups()
    assert needs == "$(VENV)/.dev check-js"
    expected = [
        line.strip().removesuffix(" .").replace("$(RUN)", ".venv/bin/python").replace("$(VENV)", ".venv")
        for line in recipe.splitlines()
    ]
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
