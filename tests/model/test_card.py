"""What the model card tells people to type."""

import re

from tests.conftest import ROOT


def test_model_keras_of_cat_loads_with_the_lines_that_the_card_shows(monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "model" / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    exec(code, names)
    assert names["network"].output_shape == (None, 2)
