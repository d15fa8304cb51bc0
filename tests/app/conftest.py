"""Shared by several files here: every raw array of the untrained networks for the cat photo."""

import numpy as np
import pytest

from tests.app.explaining import arrays


@pytest.fixture(scope="session")
def computed(client, cat_photo) -> dict[str, dict[str, np.ndarray]]:
    """What each network computed for the cat, by network and stage."""
    return {name: arrays(client, cat_photo, name) for name in ("tutorial", "dense")}
