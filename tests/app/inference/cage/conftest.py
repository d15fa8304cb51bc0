import contextlib

import pytest

from app.inference.cage import photos
from app.settings import bare
from tests.app.inference.cage.light_child import LIGHT


@pytest.fixture
def restored():
    """What tests decide for the whole process is taken back."""
    before = photos._caged
    yield
    photos.use(None)
    photos._caged = before


@pytest.fixture
def made(monkeypatch):
    """Makes cages of quick processes and ends both; `begin` is how light_child.py begins."""
    from app.inference.cage import cage
    from app.inference.cage.cage import Cage

    with contextlib.ExitStack() as ended:

        class Begun(cage._Process):
            def __init__(self, *given: object) -> None:
                super().__init__(*given)
                ended.callback(self.end)

        def make(begin: str = "confined") -> Cage:
            lost: list[None] = []
            made = Cage(30, bare() | {"BEGIN": begin, "GIVEN": "this"}, LIGHT, lambda: lost.append(None))
            made.lost = lost
            ended.callback(made._nursery.shutdown)
            ended.callback(made.close)
            return made

        monkeypatch.setattr(cage, "_Process", Begun)
        yield make
