import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from convlstm.config import BenchConfig, DetectConfig, EvalConfig, ModelConfig, TrainConfig, check_target_size
from convlstm.config_file import config_from_dict, config_to_dict, load_config, read_yaml, setting_help
from convlstm.errors import ConfigError

pytestmark = pytest.mark.pure

KINDS = (ModelConfig, TrainConfig, DetectConfig, BenchConfig)
Kind = type[ModelConfig] | type[TrainConfig] | type[DetectConfig] | type[BenchConfig]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def train_error(**values: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        config_from_dict(TrainConfig, values, origin="training.yaml")
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_defaults_then_yaml_then_flags(tmp_path: Path) -> None:
    path = write(tmp_path / "training.yaml", "epochs: 3\nbatch_size: 4\n")
    config = load_config(TrainConfig, path, {"epochs": 7})
    assert (config.epochs, config.batch_size, config.seq_length) == (7, 4, 10)


def test_the_defaults_are_the_documented_ones() -> None:
    config = TrainConfig()
    assert (config.seq_length, config.stride, config.target_size, config.batch_size) == (10, 3, (640, 640), 16)
    assert (config.epochs, config.lr, config.val_ratio, config.report_interval) == (10, 1e-4, 0.2, 5)
    assert (str(config.project), config.name) == ("runs/train", "exp")
    assert ModelConfig() == ModelConfig(classes=("static", "dynamic"), stem="rgb", lags=(1, 3, 9))


def test_an_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path / "training.yaml", "epocs: 3\n")
    with pytest.raises(ConfigError) as caught:
        load_config(TrainConfig, path)
    assert str(caught.value) == f'{path}: unknown setting "epocs": did you mean "epochs"?'
    assert caught.value.exit_code == 2


def test_an_unknown_key_near_to_none_lists_all() -> None:
    message = train_error(zzzzzz=1)
    assert 'unknown setting "zzzzzz": known are: classes, ' in message
    assert all(f.name in message for f in fields(TrainConfig))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": "three"}, "epochs must be a whole number, got 'three'"),
        ({"epochs": True}, "epochs must be a whole number, got True"),
        ({"epochs": 2.5}, "epochs must be a whole number, got 2.5"),
        ({"epochs": None}, "epochs must be a whole number, got None"),
        ({"epochs": [1]}, "epochs must be a whole number, got [1]"),
        ({"epochs": float("inf")}, "epochs must be a whole number, got inf"),
        ({"lr": "fast"}, "lr must be a number, got 'fast'"),
        ({"lr": False}, "lr must be a number, got False"),
        ({"lr": float("nan")}, "lr must be a number, got nan"),
        ({"lr": "nan"}, "lr must be a number, got 'nan'"),
        ({"lr": float("inf")}, "lr must be a number, got inf"),
        ({"grad_clip": float("inf")}, "grad_clip must be a number, got inf"),
        ({"weight_decay": float("-inf")}, "weight_decay must be a number, got -inf"),
        ({"lr": 10**400}, "lr must be a number, got 1000"),
        ({"ema": "yes"}, "ema must be true or false, got 'yes'"),
        ({"ema": 1}, "ema must be true or false, got 1"),
        ({"name": 5}, "name must be text, got 5"),
        ({"data_root": 5}, "data_root must be a path, got 5"),
        ({"scheduler": "step"}, "scheduler must be one of plateau, cosine, none, got 'step'"),
        ({"scheduler": ["plateau"]}, "scheduler must be one of plateau, cosine, none, got ['plateau']"),
        ({"target_size": 640}, "target_size must be 2 values, each a whole number, got 640"),
        ({"target_size": [640]}, "target_size must be 2 values, each a whole number, got [640]"),
        ({"target_size": "640"}, "target_size must be 2 values, each a whole number, got '640'"),
        ({"classes": "static"}, "classes must be a list of values, each text, got 'static'"),
        ({"classes": ["static", False]}, "classes must be a list of values, each text, got ['static', False]"),
    ],
)
def test_a_wrong_type_says_what_was_expected(values: dict[str, Any], message: str) -> None:
    assert train_error(**values).startswith(f"training.yaml: {message}")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "epochs must be greater than 0, got 0"),
        ({"lr": -1.0}, "lr must be greater than 0, got -1.0"),
        ({"weight_decay": -0.1}, "weight_decay must not be negative, got -0.1"),
        ({"seed": -1}, "seed must not be negative, got -1"),
        ({"val_ratio": 0}, "val_ratio must lie between 0 and 1, got 0.0"),
        ({"val_ratio": 1}, "val_ratio must lie between 0 and 1, got 1.0"),
        ({"threshold": 1.0}, "threshold must lie between 0 and 1, got 1.0"),
        ({"ema_decay": 1.0}, "ema_decay must lie between 0 and 1, got 1.0"),
        ({"mask_min_share": 1.0}, "mask_min_share must lie in [0, 1), got 1.0"),
        ({"name": "a/b"}, 'name must be a plain folder name, got "a/b": put the path into project'),
        ({"name": ".."}, 'name must be a plain folder name, got "..": put the path into project'),
        ({"name": ""}, 'name must be a plain folder name, got "": put the path into project'),
        ({"classes": ["static"]}, "classes must be at least two different names, got ['static']"),
        (
            {"classes": ["static", "fire"], "aug_actors": 0.1},
            "aug_actors draws what moves and needs classes [static, dynamic], got ['static', 'fire']: set it to 0",
        ),
        ({"classes": ["a", "a"]}, "classes must be at least two different names, got ['a', 'a']"),
        ({"lags": []}, "lags must be different frame counts from 1 to 256, got []"),
        ({"lags": [0]}, "lags must be different frame counts from 1 to 256, got [0]"),
        ({"lags": [257]}, "lags must be different frame counts from 1 to 256, got [257]"),
        ({"lags": [1, 1]}, "lags must be different frame counts from 1 to 256, got [1, 1]"),
        (
            {"target_size": [600, 640]},
            "target_size must be multiples of 32, got (600, 640): use (576, 640) or (608, 640)",
        ),
        ({"target_size": [0, 5]}, "target_size must be multiples of 32, got (0, 5): use (32, 32) or (32, 32)"),
    ],
)
def test_a_value_out_of_range_says_the_range(values: dict[str, Any], message: str) -> None:
    assert train_error(**values) == message


def test_python_callers_are_checked_too() -> None:
    with pytest.raises(ConfigError, match='stem must be "rgb" or "motion", got "flow"'):
        ModelConfig(stem="flow")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="lr must be greater than 0, got nan"):
        TrainConfig(lr=float("nan"))
    with pytest.raises(ConfigError, match="stride must be greater than 0, got 0"):
        DetectConfig(stride=0)
    with pytest.raises(ConfigError, match=r"threshold must lie between 0 and 1, got 1\.5"):
        DetectConfig(threshold=1.5)


def test_numbers_that_yaml_reads_as_text_are_taken() -> None:
    config = config_from_dict(TrainConfig, {"lr": "1e-4", "epochs": 3.0, "target_size": [320, 480]}, origin="x")
    assert (config.lr, config.epochs, config.target_size) == (1e-4, 3, (320, 480))
    assert isinstance(config.epochs, int)


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_sizes_offered_instead_are_the_nearest_usable_ones(height: int, width: int) -> None:
    if height % 32 == 0 and width % 32 == 0:
        check_target_size((height, width))
        return
    with pytest.raises(ConfigError) as caught:
        check_target_size((height, width))
    below, above = str(caught.value).split("use ")[1].split(" or ")
    for offered in (below, above):
        sides = tuple(int(side) for side in offered.strip("()").split(", "))
        check_target_size((sides[0], sides[1]))
        assert abs(sides[0] - height) < 32 and abs(sides[1] - width) < 32


def test_an_empty_file_means_defaults(tmp_path: Path) -> None:
    assert load_config(TrainConfig, write(tmp_path / "training.yaml", "")) == TrainConfig()
    assert read_yaml(write(tmp_path / "comment.yaml", "# nothing set\n")) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- epochs\n- 3\n", '{path} must hold lines "setting: value", got list'),
        ("epochs\n", '{path} must hold lines "setting: value", got str'),
        ("epochs: [1\n", "{path} is not valid YAML: "),
        ("epochs: 3\n\tlr: 1\n", "{path} is not valid YAML: "),
        ("when: 2024-13-45\n", "{path} is not valid YAML: "),
        ("a: !!python/object/apply:os.getcwd []\n", "{path} is not valid YAML: "),
        ("a: " + "[" * 20_000, "{path} is not valid YAML: "),
    ],
)
def test_files_that_hold_no_settings(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "training.yaml", text)
    with pytest.raises(ConfigError) as caught:
        load_config(TrainConfig, path)
    assert str(caught.value).startswith(message.format(path=path))
    assert "\n" not in str(caught.value)


def test_invalid_yaml_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="line 2"):
        read_yaml(write(tmp_path / "training.yaml", "epochs: 3\nlr: [1\n"))


def test_a_missing_file_a_folder_and_other_encodings(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*none\.yaml: No such file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*: Is a directory"):
        read_yaml(tmp_path)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("name: Käfer\n".encode("latin-1"))
    with pytest.raises(ConfigError, match="is not valid YAML: 'utf-8' codec"):
        read_yaml(latin)


@pytest.mark.parametrize("kind", KINDS)
def test_plain_values_and_back(kind: Kind) -> None:
    config = kind()
    plain = config_to_dict(config)
    assert yaml.safe_load(yaml.safe_dump(plain)) == plain
    back = config_from_dict(kind, plain, origin="round trip")
    assert back == config
    assert {key: type(value) for key, value in asdict(back).items()} == {
        key: type(value) for key, value in asdict(config).items()
    }


@given(
    classes=st.lists(st.text(min_size=1), min_size=2, max_size=4, unique=True),
    lags=st.lists(st.integers(1, 256), min_size=1, max_size=4, unique=True),
    rows=st.integers(1, 40),
    lr=st.floats(1e-8, 10),
    seed=st.integers(0, 2**40),
    project=st.sampled_from(["runs", "a b/c", "/x"]),
)
def test_any_training_settings_survive_the_way_there_and_back(
    classes: list[str], lags: list[int], rows: int, lr: float, seed: int, project: str
) -> None:
    config = TrainConfig(
        classes=tuple(classes),
        lags=tuple(lags),
        target_size=(32 * rows, 64),
        lr=lr,
        seed=seed,
        project=Path(project),
    )
    assert config_from_dict(TrainConfig, config_to_dict(config), origin="round trip") == config


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates()
yaml_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(scalars, inner, max_size=3), max_leaves=6
)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_whatever_yaml_holds_is_a_config_or_a_config_error(kind: Kind, data: st.DataObject) -> None:
    keys = st.sampled_from([f.name for f in fields(kind)]) | scalars
    values: dict[Any, Any] = data.draw(st.dictionaries(keys, yaml_values, max_size=3))
    try:
        config = config_from_dict(kind, values, origin="any")
    except ConfigError as error:
        assert str(error)
    else:
        assert set(values) <= {f.name for f in fields(config)}


def test_the_model_part_of_a_training_config() -> None:
    config = TrainConfig(classes=("calm", "smoke", "fire"), stem="motion", lags=(2, 5))
    assert config.model_config() == ModelConfig(classes=("calm", "smoke", "fire"), stem="motion", lags=(2, 5))
    assert type(config.model_config()) is ModelConfig


def test_context_and_dynamic_class() -> None:
    assert ModelConfig(stem="rgb").num_context == 0
    assert ModelConfig(stem="motion", lags=(4, 2)).num_context == 4
    assert ModelConfig().dynamic_index == 1
    assert ModelConfig(classes=("dynamic", "static")).dynamic_index == 0
    assert ModelConfig(classes=("calm", "fire")).dynamic_index is None


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_has_a_help_text_with_its_default(kind: Kind) -> None:
    for setting in fields(kind):
        assert len(str(setting.metadata["help"])) > 10, setting.name
    size = next(f for f in fields(TrainConfig) if f.name == "target_size")
    assert setting_help(size).endswith("[640 640]")
    threshold = next(f for f in fields(DetectConfig) if f.name == "threshold")
    assert setting_help(threshold) == threshold.metadata["help"]


def test_importing_the_configuration_does_not_import_torch() -> None:
    code = "import convlstm.config, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


DATA: dict[str, Any] = {"data_root": "data"}
SOURCE: dict[str, Any] = {"source": "clip.mp4", "truth": "truth.csv"}
TUNED: dict[str, Any] = {**DATA, "split": "val", "save_weights": "w.pth"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "either --data_root or --source"),
        ({**DATA, **SOURCE}, "either --data_root or --source"),
        ({"source": "clip.mp4"}, "--source needs --truth"),
        ({**DATA, "truth": "t.csv"}, "truth has no meaning with --data_root"),
        ({**SOURCE, "split": "val"}, "split has no meaning with --source"),
        ({**SOURCE, "manifest": "x.csv"}, "manifest has no meaning with --source"),
        ({**SOURCE, "seed": 1, "val_ratio": 0.2}, "val_ratio, seed has no meaning with --source"),
        ({**SOURCE, "recall": 0.9, "save_weights": "w.pth"}, "--recall learns from what it is given"),
        ({**DATA, "recall": 0.9, "save_weights": "w.pth"}, "needs validation data, --data_root D --split val"),
        ({**TUNED, "split": "test", "calibrate": True}, "--calibrate learns from what it is given"),
        ({**DATA, "split": "val", "recall": 0.9}, "name a file with --save_weights, or let --overwrite"),
        ({**DATA, "save_weights": "w.pth"}, "save_weights has no meaning without --recall or --calibrate"),
        ({**DATA, "overwrite": True}, "overwrite has no meaning without"),
        ({**TUNED, "recall": 0.0}, "recall must be greater than 0"),
        ({**TUNED, "recall": 1.1}, "recall must be greater than 0 and at most 1"),
        ({**DATA, "at_recall": 0}, "at_recall must be greater than 0"),
        ({**DATA, "threshold": 1.0}, "threshold must lie between 0 and 1"),
        ({**DATA, "stride": 0}, "stride must be greater than 0"),
        ({**DATA, "false_cells": 0}, "false_cells must be greater than 0"),
        ({**DATA, "resamples": 0}, "resamples must be greater than 0"),
        ({**DATA, "val_ratio": 1.0}, "val_ratio must lie in"),
        ({**DATA, "mask_min_share": 1.0}, "mask_min_share must lie in"),
        ({**DATA, "split": "dev"}, "split must be one of auto, test, val, train, all"),
        ({**DATA, "baselines": ["mog3"]}, "baselines must be of all, .* got mog3"),
        ({**DATA, "baselines": ["all", "knn"]}, "baselines must be all, none, or names"),
        ({**DATA, "baselines": []}, "baselines must be all, none, or names of methods, got nothing"),
    ],
)
def test_evaluations_that_make_no_sense_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(EvalConfig, flags=values)


def test_baselines_are_named_in_one_order() -> None:
    names = ("frame_difference", "mog2", "knn", "optical_flow")
    for asked, expected in ((("all",), names), (("none",), ()), (("knn", "mog2"), ("mog2", "knn"))):
        assert load_config(EvalConfig, flags={**DATA, "baselines": asked}).baseline_names == expected


def test_an_evaluation_may_tune_on_validation_only() -> None:
    assert load_config(EvalConfig, flags={**TUNED, "calibrate": True}).save_weights == Path("w.pth")
    assert load_config(EvalConfig, flags={**TUNED, "save_weights": None, "overwrite": True, "recall": 1}).recall == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"engines": ()}, "engines must be all, or names of engines, got nothing"),
        ({"engines": ("all", "torch")}, "engines must be all, or names of engines, got all torch"),
        ({"engines": ("tensorrt",)}, "engines must be of all, onnx, openvino, torch, got tensorrt"),
        ({"engines": ("torch",), "int8": True}, "int8 has no meaning without engine openvino"),
        ({"quick": True, "frames": 9}, "frames has no meaning with --quick, which has its own: leave it out"),
        ({"repeats": 0}, "repeats must be greater than 0, got 0"),
        ({"stream_fps": (5.0, 0.0)}, "stream_fps must be greater than 0"),
    ],
)
def test_benchmarks_that_make_no_sense_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        BenchConfig(**values)
    assert message in str(caught.value)


def test_a_quick_benchmark_has_numbers_of_its_own() -> None:
    ordinary = BenchConfig(stride=2)
    assert ordinary.in_effect() is ordinary
    quick = BenchConfig(stride=2, quick=True).in_effect()
    assert quick.stride == 2 and quick.frames < ordinary.frames and quick.repeats == 1
