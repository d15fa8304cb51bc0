"""A folder of networks and a private key come in; `model.sig` beside each network's contract goes out.

    .venv/bin/python -m tools.sign --key key.pem model

The key is an elliptic one: `openssl ecparam -name prime256v1 -genkey -noout -out key.pem`, and
`openssl ec -in key.pem -pubout -out key.pub` for those who verify.
"""

import argparse
from pathlib import Path

import model_signing

from app.inference.networks import signatures


def main() -> None:
    """Sign every network in the folder, and every version of one."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--key", type=Path, required=True, help="private key, PEM")
    arguments = parser.parse_args()
    for folder in signatures.folders(arguments.folder):
        sign(folder, arguments.key)
        print(folder / signatures.SIGNATURE)


def sign(folder: Path, key: Path) -> None:
    """Sign one network."""
    config = model_signing.signing.Config().use_elliptic_key_signer(private_key=key)
    config.set_hashing_config(signatures.hashing(folder)).sign(folder, folder / signatures.SIGNATURE)


if __name__ == "__main__":
    main()
