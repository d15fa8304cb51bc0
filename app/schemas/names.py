"""Names that a client sent are compared with those that are known, so that a misspelt option is never ignored."""

import difflib
from collections.abc import Collection, Iterable

from app.errors import InvalidRequest


def check_names(sent: Iterable[str], known: Collection[str], kind: str) -> None:
    """Raise InvalidRequest for the first name that is not known, with the nearest that is.

    Names that begin with _ or utm_ are ignored: caches and campaigns add them to addresses.
    """
    for name in sent:
        if name in known or name.startswith(("_", "utm_")):
            continue
        near = difflib.get_close_matches(name[:80], known, 1) or [one for one in known if one.lower() == name.lower()]
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known) or 'none'}."
        raise InvalidRequest(f"There is no {kind} {name[:80]!r}; {hint}")
