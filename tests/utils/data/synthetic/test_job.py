"""A synthesis job: what it leaves on disk, what it says, and what it refuses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from convlstm.config import SynthesizeConfig
from convlstm.config_file import load_config
from convlstm.errors import DataError
from convlstm.utils.data.manifest import read_manifest
from convlstm.utils.data.synthetic.job import SETTINGS, synthesize

Pixels = NDArray[np.uint8]


def config(output: Path, **settings: Any) -> SynthesizeConfig:
    small = {"num_train": 2, "num_val": 2, "num_test": 0, "num_frames": 2, "size": (64, 70), "num_workers": 0}
    return SynthesizeConfig(output=output, **{**small, **settings})


def refusal(settings: SynthesizeConfig) -> str:
    before = sorted(settings.output.rglob("*"))
    with pytest.raises(DataError) as caught:
        synthesize(settings)
    assert sorted(settings.output.rglob("*")) == before
    return str(caught.value)


def test_what_a_job_leaves_and_says(
    tmp_path: Path, make_frames: Callable[..., list[Pixels]], write_video: Callable[..., Path]
) -> None:
    write_video(tmp_path / "footage.mp4", make_frames(12))
    sources = {"backgrounds": tmp_path, "recordings": tmp_path, "num_recordings": 2}
    settings = config(tmp_path / "my data", **sources, fps=12.5, severity=0.5, seed=7)
    result = synthesize(settings)
    assert result.manifest == tmp_path / "my data" / "data.csv"
    assert result.num_by_split == {"train": 4, "val": 2}
    assert sum(result.num_by_type.values()) == 6 and result.num_by_type["dynamic"] >= 2
    assert result.next_command == f"convlstm train --data_root '{tmp_path}/my data' --target_size 64 96"
    assert load_config(SynthesizeConfig, settings.output / SETTINGS) == settings
    rows = read_manifest(settings.output, "data.csv", ("static", "dynamic"))
    assert {row.fps for row in rows} == {12.5}
    assert [row.extra["kind"] for row in rows].count("recording") == 2


@pytest.mark.parametrize(
    ("numbers", "command"),
    [
        ({"num_val": 0, "num_test": 2}, "convlstm eval --data_root {} --split test"),
        ({"num_train": 0, "num_test": 2}, "convlstm eval --data_root {} --split val"),
        ({"num_val": 0}, "convlstm eval --data_root {} --split train"),
        ({"size": (64, 64)}, "convlstm train --data_root {} --target_size 64 64"),
    ],
)
def test_the_next_command_is_one_that_the_data_allows(tmp_path: Path, numbers: dict[str, Any], command: str) -> None:
    assert synthesize(config(tmp_path / "d", **numbers)).next_command == command.format(tmp_path / "d")


def test_a_finished_data_set_is_left_alone(tmp_path: Path) -> None:
    output = tmp_path / "d"
    synthesize(config(output))
    assert refusal(config(output, num_workers=2)) == (
        f"{output} holds this very data set, finished: name a new folder, or go on: "
        f"convlstm train --data_root {output} --target_size 64 96"
    )
    assert refusal(config(output, seed=4, fps=30.0)) == (
        f"{output} holds a data set made with other settings (fps 25.0, not 30.0; seed 0, not 4): name a new folder"
    )
    (output / SETTINGS).unlink()
    assert refusal(config(output)) == f"{output} holds a data set already: name a new folder"
    (output / "data.csv").unlink()
    assert refusal(config(output)) == (
        f"{output} is not empty: name a new folder, or empty this one if an interrupted run left it"
    )


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    assert synthesize(config(tmp_path / "d")).manifest.exists()


def test_progress_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("convlstm.progress.SECONDS_BETWEEN_LINES", 0.0)
    with caplog.at_level("INFO", logger="convlstm.progress"):
        synthesize(config(tmp_path / "d"))
    assert caplog.messages == [f"synthesizing: {done}/4 sequences" for done in range(1, 5)]
