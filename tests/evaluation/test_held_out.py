import logging
from pathlib import Path

import pytest
import yaml

from convlstm.config import ModelConfig, TrainConfig
from convlstm.config_file import config_to_dict
from convlstm.errors import ConfigError, ManifestError
from convlstm.evaluation.held_out import ChosenRows, choose_rows
from convlstm.utils.data.manifest import read_manifest
from convlstm.utils.data.split import split_rows

pytestmark = pytest.mark.pure

MODEL = ModelConfig()
SPLIT = ("train", "train", "val", "val", "test", "test")


def write_manifest(root: Path, splits: tuple[str, ...], name: str = "data.csv") -> Path:
    root.mkdir(exist_ok=True)
    rows = [f"s{i},{('static', 'dynamic')[i % 2]},{split}" for i, split in enumerate(splits)]
    (root / name).write_text("\n".join(["folder_name,type,split", *rows]) + "\n")
    return root


def write_run(folder: Path, **settings: object) -> Path:
    """A run folder whose args.yaml holds `settings`; returns where its weights would be."""
    (folder / "weights").mkdir(parents=True)
    arguments = {**config_to_dict(TrainConfig()), **settings}
    (folder / "args.yaml").write_text(yaml.safe_dump(arguments))
    return folder / "weights" / "best.pth"


def names(chosen: ChosenRows) -> list[str]:
    return [row.folder_name for row in chosen.rows]


@pytest.mark.parametrize(
    ("split", "expected"),
    [("auto", ["s4", "s5"]), ("test", ["s4", "s5"]), ("val", ["s2", "s3"]), ("train", ["s0", "s1"])],
)
def test_the_manifest_says_which_rows(tmp_path: Path, split: str, expected: list[str]) -> None:
    root = write_manifest(tmp_path, SPLIT)
    chosen = choose_rows(tmp_path / "best.pth", MODEL, root, "data.csv", split=split)
    assert names(chosen) == expected
    assert chosen.split == ("test" if split == "auto" else split)
    notes = {"train": "training used these", "val": "training chooses its best epoch by val"}
    assert chosen.note.startswith(notes[split]) if split in notes else not chosen.note


def test_without_test_rows_it_is_val(tmp_path: Path) -> None:
    root = write_manifest(tmp_path, ("train", "val", "", "val"))
    chosen = choose_rows(tmp_path / "best.pth", MODEL, root, "data.csv")
    assert (names(chosen), chosen.split) == (["s1", "s3"], "val")
    assert names(choose_rows(tmp_path / "best.pth", MODEL, root, "data.csv", split="train")) == ["s0", "s2"]


def test_a_manifest_of_test_rows_alone_is_fine(tmp_path: Path) -> None:
    root = write_manifest(tmp_path, ("test", "test"))
    chosen = choose_rows(tmp_path / "best.pth", MODEL, root, "data.csv")
    assert (names(chosen), chosen.note) == (["s0", "s1"], "")
    with pytest.raises(ManifestError, match="no rows of split val: choose another"):
        choose_rows(tmp_path / "best.pth", MODEL, root, "data.csv", split="val")


@pytest.mark.parametrize("seed", [0, 5])
def test_val_is_drawn_as_the_run_drew_it(tmp_path: Path, seed: int) -> None:
    root = write_manifest(tmp_path / "data", ("",) * 20)
    weights = write_run(tmp_path / "run", data_root=str(root), val_ratio=0.3, seed=seed)
    expected = split_rows(read_manifest(root, "data.csv", MODEL.classes), val_ratio=0.3, seed=seed)["val"]
    chosen = choose_rows(weights, MODEL, root, "data.csv")
    assert (chosen.rows, chosen.split) == (expected, "val") and len(expected) == 6
    by_hand = choose_rows(tmp_path / "x.pth", MODEL, root, "data.csv", val_ratio=0.3, seed=seed)
    assert by_hand == chosen
    assert not set(names(chosen)) & set(names(choose_rows(weights, MODEL, root, "data.csv", split="train")))


def test_flags_win_over_the_run(tmp_path: Path) -> None:
    root = write_manifest(tmp_path / "data", ("",) * 20)
    weights = write_run(tmp_path / "run", data_root=str(root), val_ratio=0.3, seed=0)
    expected = split_rows(read_manifest(root, "data.csv", MODEL.classes), val_ratio=0.3, seed=9)["val"]
    assert choose_rows(weights, MODEL, root, "data.csv", seed=9).rows == expected


@pytest.mark.parametrize("settings", [{"data_root": "elsewhere"}, {"manifest": "other.csv"}, {"seed": None}])
def test_a_run_on_other_data_says_nothing(tmp_path: Path, settings: dict[str, object]) -> None:
    root = write_manifest(tmp_path / "data", ("",) * 6)
    weights = write_run(tmp_path / "run", **{"data_root": str(root), **settings})
    for split in ("val", "train", "auto"):
        with pytest.raises(ManifestError, match="do not say which sequences training used: add a column split"):
            choose_rows(weights, MODEL, root, "data.csv", split=split)
    with pytest.raises(ManifestError, match="--split all to score every row"):
        choose_rows(weights, MODEL, root, "data.csv")


def test_all_rows_come_with_a_warning(tmp_path: Path) -> None:
    root = write_manifest(tmp_path / "data", ("",) * 10)
    unknown = choose_rows(tmp_path / "x.pth", MODEL, root, "data.csv", split="all")
    assert len(unknown.rows) == 10 and "where it used some of these, figures are too good" in unknown.note
    weights = write_run(tmp_path / "run", data_root=str(root), val_ratio=0.2, seed=0)
    known = choose_rows(weights, MODEL, root, "data.csv", split="all")
    assert known.note == "training used 8 of these 10 sequences: figures are too good"
    held_out = write_manifest(tmp_path / "test", ("test",) * 4)
    assert choose_rows(weights, MODEL, held_out, "data.csv", split="all").note == ""


def test_settings_that_change_nothing_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_manifest(tmp_path, SPLIT)
    with caplog.at_level(logging.WARNING, "convlstm"):
        choose_rows(tmp_path / "best.pth", MODEL, root, "data.csv", split="val", seed=3)
    assert "val_ratio and seed have no effect" in caplog.text


def test_a_run_with_nonsense_in_it_is_named(tmp_path: Path) -> None:
    root = write_manifest(tmp_path / "data", ("",) * 6)
    weights = write_run(tmp_path / "run", data_root=str(root), seed="seven")
    with pytest.raises(ConfigError, match=r"args\.yaml: val_ratio and seed must be numbers, got 0\.2 and 'seven'"):
        choose_rows(weights, MODEL, root, "data.csv")
