"""Where signatures are required, only what somebody trusted has signed is served."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import model_signing
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from app.errors import NetworkError
from app.inference.networks import signatures
from tests.conftest import COMMAND, ROOT, command, serving
from tools.sign import sign


def make_key(folder: Path, name: str) -> Path:
    """A new private key, `name`.pem, with its public key beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    pem = serialization.Encoding.PEM
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> Path:
    """A folder with ours.pem, ours.pub, theirs.pem and theirs.pub."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "theirs"):
        make_key(folder, name)
    return folder


@pytest.fixture
def signed(model_dir, keys, tmp_path) -> Path:
    """Networks that we have signed."""
    folder = tmp_path / "model"
    shutil.copytree(model_dir, folder)
    for network in signatures.folders(folder):
        sign(network, keys / "ours.pem")
    return folder


def check(folder: Path, key: Path) -> None:
    signatures.check(folder, str(key), "")


def test_networks_that_we_signed_are_accepted(signed, keys):
    check(signed, keys / "ours.pub")


def test_a_version_of_a_network_is_signed_in_its_own_folder(signed, keys):
    shutil.move(signed / "dense", signed / "0.0.1")
    (signed / "dense").mkdir()
    shutil.move(signed / "0.0.1", signed / "dense" / "0.0.1")
    check(signed, keys / "ours.pub")
    (signed / "dense" / "0.0.1" / "model.sig").unlink()
    with pytest.raises(NetworkError, match=r"0\.0\.1 is not signed"):
        check(signed, keys / "ours.pub")


def test_files_that_are_not_served_may_be_missing_or_added(signed, keys):
    (signed / "dense" / "model.keras").unlink()
    (signed / "dense" / "notes.txt").write_text("hello")
    check(signed, keys / "ours.pub")


def test_a_network_without_a_signature_is_refused(signed, keys):
    (signed / "dense" / "model.sig").unlink()
    with pytest.raises(NetworkError, match=r"dense is not signed: it has no model\.sig"):
        check(signed, keys / "ours.pub")


def test_a_signature_by_somebody_else_is_refused(signed, keys):
    with pytest.raises(NetworkError, match=r"dense/model\.sig does not verify"):
        check(signed, keys / "theirs.pub")


@pytest.mark.parametrize("name", ["contract.json", "model.onnx", "history.json"])
def test_a_file_that_has_changed_is_refused(signed, keys, name):
    path = signed / "tutorial" / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(NetworkError, match=name.replace(".", r"\.")):
        check(signed, keys / "ours.pub")


@pytest.mark.parametrize("name", ["int8.onnx", "memory.npz"])
def test_a_file_that_is_served_and_was_added_is_refused(signed, keys, name):
    (signed / "dense" / name).write_bytes(b"x")
    with pytest.raises(NetworkError, match=name.replace(".", r"\.")):
        check(signed, keys / "ours.pub")


def test_the_signature_of_another_network_is_refused(signed, keys):
    shutil.copy(signed / "dense" / "model.sig", signed / "tutorial" / "model.sig")
    with pytest.raises(NetworkError, match=r"tutorial/model\.sig does not verify"):
        check(signed, keys / "ours.pub")


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"mediaType": "x"}'])
def test_a_signature_that_is_none_is_refused(signed, keys, text):
    (signed / "dense" / "model.sig").write_text(text)
    with pytest.raises(NetworkError, match="does not verify"):
        check(signed, keys / "ours.pub")


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("", "needs CATSCOPE_SIGNED_BY"),
        ("nobody@cats.example", "an identity needs CATSCOPE_SIGNED_ISSUER"),
        (__file__, "no public key"),
    ],
)
def test_who_is_trusted_must_be_said(signed, by, message):
    with pytest.raises(NetworkError, match=message):
        signatures.check(signed, by, "")


def test_a_missing_package_is_named(signed, keys, monkeypatch):
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(NetworkError, match=r"requirements/signed\.txt"):
        check(signed, keys / "ours.pub")


def test_an_identity_is_asked_for_at_sigstore_with_its_issuer(signed, monkeypatch):
    asked = []

    def refuse(config, **wanted):
        asked.append(wanted)
        raise RuntimeError("no network")

    monkeypatch.setattr(model_signing.verifying.Config, "use_sigstore_verifier", refuse)
    with pytest.raises(NetworkError, match="Sigstore does not say whom to trust: no network"):
        signatures.check(signed, "me@cats.example", "https://issuer.example")
    assert asked == [{"identity": "me@cats.example", "oidc_issuer": "https://issuer.example"}]


def test_what_the_release_workflow_signs_is_what_is_verified(model_dir, keys, tmp_path):
    """Its own commands, with a key instead of the identity that GitHub gives it."""
    shutil.copytree(model_dir, tmp_path / "model")
    (tmp_path / "model" / "dense" / "diagrams.png").write_bytes(b"x")
    steps = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"]["sign"]["steps"]
    (commands,) = [step["run"] for step in steps if "model_signing sign" in step.get("run", "")]
    keyless, program = "model_signing sign sigstore --use_ambient_credentials", "from model_signing._cli import main; main()"
    assert keyless in commands
    with_key = f'"{sys.executable}" -c "{program}" sign key --private_key "{keys / "ours.pem"}"'
    subprocess.run(["bash", "-euc", commands.replace(keyless, with_key)], cwd=tmp_path, check=True)
    check(tmp_path / "model", keys / "ours.pub")


def test_the_service_starts_with_signed_networks_and_takes_no_other_at_a_reload(signed, keys, cat_photo):
    settings = {"model_dir": signed, "require_signed": "true", "signed_by": keys / "ours.pub"}
    with serving(*COMMAND, **settings) as (process, url):
        (signed / "dense" / "model.sig").unlink()
        process.send_signal(signal.SIGHUP)
        for line in process.stderr:
            if "dense is not signed" in line:
                break
        else:
            raise AssertionError("it does not say so")
        assert httpx2.post(f"{url}/predict?network=dense", files={"file": cat_photo}).status_code == 200


@pytest.mark.parametrize("arguments", [(), ("classify", __file__), ("inspect", "tutorial")])
def test_no_command_reads_a_network_that_is_not_signed(model_dir, keys, arguments):
    result = command(*arguments, model_dir=model_dir, require_signed="true", signed_by=keys / "ours.pub")
    assert result.returncode == (2 if arguments else 1)
    assert "dense is not signed" in result.stderr


def test_without_the_setting_signatures_are_not_looked_at(signed, keys, tmp_path):
    (signed / "dense" / "model.sig").write_text("no signature")
    assert command("inspect", "dense", model_dir=signed).returncode == 0
