from pathlib import Path

import pytest

from app.settings import Settings


def test_without_variables_the_defaults_hold():
    assert Settings.from_environment({"PATH": "/bin"}) == Settings()


def test_each_kind_of_value_is_read():
    settings = Settings.from_environment(
        {
            "CATSCOPE_PORT": " 9000 ",
            "CATSCOPE_MODEL_DIR": "/models",
            "CATSCOPE_DEADLINE_S": "2.5",
            "CATSCOPE_API_KEYS": "alpha, beta,",
            "CATSCOPE_ENGINE": "keras",
        }
    )
    assert settings == Settings(
        port=9000, model_dir=Path("/models"), deadline_s=2.5, api_keys=("alpha", "beta"), engine="keras"
    )


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("CATSCOPE_PORT", "many", "'many'; it must be a whole number"),
        ("CATSCOPE_PORT", "70000", "at least 0 and at most 65535"),
        ("CATSCOPE_MAX_BYTES", "0", "at least 1"),
        ("CATSCOPE_DEADLINE_S", "nan", "at least 0.001"),
        ("CATSCOPE_ENGINE", "torch", "one of onnx, keras"),
        ("CATSCOPE_PROT", "1", "is no setting; the settings are CATSCOPE_HOST"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(variable, value, said):
    with pytest.raises(ValueError, match=variable) as error:
        Settings.from_environment({variable: value})
    assert said in str(error.value)


def test_the_table_names_every_setting_with_its_default():
    rows = {name: default for name, default, _ in Settings.table()}
    assert rows["CATSCOPE_PORT"] == "8000"
    assert len(rows) == len(Settings.__dataclass_fields__)
