"""The folder of networks comes in; nothing goes out unless somebody whom the operator trusts has signed each of them.

A signature is `model.sig`, an OpenSSF model signature, beside a network's contract. It covers the files that are served. It
does not cover model.keras, which images leave out: contract.json, which is covered, has its digest.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.errors import NetworkError

SIGNATURE = "model.sig"

SIGNED = (
    "contract.json",
    "epochs.npy",
    "history.json",
    "int8.onnx",
    "memory.npz",
    "metrics.json",
    "model.onnx",
)
"""The files of a network that are signed, those of them that it has. Every other file of its folder is ignored."""


def check(root: Path, signed_by: str, issuer: str) -> None:
    """Verify every network, and every version of one, in the folder `root`, before anything of it is read.

    `signed_by` is the path of a public key or, with an `issuer`, the identity that Sigstore's certificate names. Raises
    NetworkError where nobody is trusted or a package is missing, and for the first network that is not signed, is signed by
    somebody else, or has changed.
    """
    if not signed_by:
        raise NetworkError("CATSCOPE_REQUIRE_SIGNED needs CATSCOPE_SIGNED_BY, which says whose signatures are trusted")
    verifier = _verifier(signed_by, issuer)
    for folder in folders(root):
        signature = folder / SIGNATURE
        if not signature.is_file():
            raise NetworkError(f"{folder} is not signed: it has no {SIGNATURE}, and CATSCOPE_REQUIRE_SIGNED is true")
        verifier.set_hashing_config(hashing(folder))
        try:
            verifier.verify(folder, signature)
        except Exception as error:  # the file may hold anything, and the packages below do not say what they raise
            raise NetworkError(f"{signature} does not verify: {error}") from error


def folders(root: Path) -> Iterator[Path]:
    """The folders with a network, or a version of one."""
    for path in sorted((*root.glob("*/contract.json"), *root.glob("*/*/contract.json"))):
        yield path.parent


def hashing(folder: Path) -> Any:
    """What is hashed of a network, to sign it and to verify it: the files of SIGNED that are in its folder."""
    import model_signing

    others = [path.name for path in folder.iterdir() if path.name not in SIGNED]
    return model_signing.hashing.Config().set_ignored_paths(paths=others)


def _verifier(signed_by: str, issuer: str) -> Any:
    try:
        import model_signing
    except ImportError as error:
        raise NetworkError(
            f"CATSCOPE_REQUIRE_SIGNED needs the packages of requirements/signed.txt, the extra signed: {error}"
        ) from error
    if not issuer and not Path(signed_by).is_file():
        raise NetworkError(f"CATSCOPE_SIGNED_BY is {signed_by}, which is no file; an identity needs CATSCOPE_SIGNED_ISSUER")
    config = model_signing.verifying.Config()
    try:
        if issuer:
            return config.use_sigstore_verifier(identity=signed_by, oidc_issuer=issuer)
        return config.use_elliptic_key_verifier(public_key=signed_by)
    except Exception as error:  # Sigstore's own keys may be out of reach, and a file may hold anything
        what = "Sigstore does not say whom to trust" if issuer else f"CATSCOPE_SIGNED_BY is {signed_by}, no public key"
        raise NetworkError(f"{what}: {error}") from error
