import base64
import csv
import re
from collections.abc import Callable
from html import escape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from convlstm.config import TrainConfig
from convlstm.evaluation.evaluate import Evaluation, Tally, evaluate
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.report import training_report
from convlstm.report.training_report import GALLERY_SIZE, write_report
from convlstm.utils.data.dataset import WindowDataset
from convlstm.utils.data.loader import eval_loader
from convlstm.utils.data.manifest import ManifestRow
from convlstm.utils.data.sequences import open_sequences

HOSTILE = ["<b>x", '"><script>alert(1)<|script>', "=1+1", "clip.v1", "{{ 7*7 }}"]
WriteFolder = Callable[..., Path]

Scored = tuple[Evaluation, WindowDataset]


class Brightness(TemporalClassifier):
    """Logits of a window: a tenth of the brightness of its last frame, less two."""

    def encode_frames(
        self, frames: Tensor, encode: Tensor, lagged: Tensor, earlier_greys: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        return frames[encode, :1, :1, :1].float().expand(-1, -1, 1, 2) / 10 - 2, None

    def window_head(self, gates: Tensor, windows: Tensor) -> Tensor:
        return gates[windows[:, -1]]


def scored(root: Path, names: list[str], write_folder: WriteFolder) -> Scored:
    """One window a sequence, static and dynamic in turn; logits rise from -2 in steps of one."""
    rows = []
    for number, name in enumerate(names):
        frame = np.full((32, 64, 3), 10 * number, dtype=np.uint8)
        write_folder(root / name, [frame] * 2)
        rows.append(ManifestRow(name, ("static", "dynamic")[number % 2], name, None, None, number + 2))
    config = TrainConfig(
        data_root=root, stem="rgb", seq_length=2, target_size=(32, 64), batch_size=len(names), num_workers=0
    )
    dataset = WindowDataset(open_sequences(rows, config)[0], config)
    evaluation = evaluate(Brightness(config.model_config()), eval_loader(dataset, config), dataset, threshold=0.5)
    return evaluation, dataset


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, write_folder: WriteFolder) -> Scored:
    return scored(tmp_path_factory.mktemp("data"), HOSTILE, write_folder)


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time."""
    monkeypatch.setattr(training_report, "_figures", lambda evaluation, history: [])


def report(folder: Path, evaluation: Evaluation, dataset: WindowDataset) -> str:
    path = write_report(
        folder,
        evaluation,
        dataset,
        title="exp, epoch 3",
        subtitle="validation",
        history=[{"epoch": 1.0, "train_loss": 0.7, "val_loss": 0.6}],
        settings={"lr": "0.0001", "name": "<i>exp"},
    )
    assert path == folder / "report.html"
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(hostile: Scored, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A written report."""
    path = tmp_path_factory.mktemp("report") / "reports" / "epoch_003"
    report(path, *hostile)
    return path


@pytest.fixture(scope="module")
def html(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def test_everything_is_in_one_folder(folder: Path, html: str) -> None:
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert files == [
        "heatmaps/_1_1_000000.png",
        "heatmaps/___7_7____000000.png",
        "heatmaps/___script_alert_1___script__000000.png",
        "heatmaps/_b_x_000000.png",
        "heatmaps/clip.v1_000000.png",
        "predictions.csv",
        "report.html",
    ]
    for words in ("exp, epoch 3", "validation", "Learning curves", "Confusion matrix", "Reliability", "0.0001"):
        assert words in html


def test_pictures_show_frame_and_overlay_side_by_side(folder: Path, html: str) -> None:
    pictures = sorted((folder / "heatmaps").iterdir())
    assert len(pictures) == len(HOSTILE)
    assert all(re.fullmatch(r".+_000000\.png", path.name) for path in pictures)
    shades = set()
    for path in pictures:
        with Image.open(path) as image:
            pixels = np.asarray(image)
        assert pixels.shape == (32, 128, 3)
        assert (pixels[:, :64] == pixels[0, 0]).all()
        shades.add(int(pixels[0, 0, 0]))
        assert f'src="data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"' in html
    assert shades == {0, 10, 20, 30, 40}


def test_names_are_harmless_in_the_page(html: str) -> None:
    for name in HOSTILE:
        assert f"{escape(name).replace('&quot;', '&#34;')}, frames 0-1" in html
    assert "<b>" not in html and "<script" not in html and "<i>exp" not in html
    assert "&lt;i&gt;exp" in html


def test_predictions_stand_worst_first(folder: Path) -> None:
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    # logits -2, -1, 0, 1, 2 of types static, dynamic, static, dynamic, static
    assert [row["sequence"] for row in rows] == [HOSTILE[4], HOSTILE[1], "'=1+1", HOSTILE[3], HOSTILE[0]]
    assert [row["error"] for row in rows] == ["0.880797", "0.731059", "0.5", "0.268941", "0.119203"]
    assert [row["probability"] for row in rows] == ["0.880797", "0.268941", "0.5", "0.731059", "0.119203"]
    assert [(row["type"], row["prediction"]) for row in rows] == [
        ("static", "dynamic"),
        ("dynamic", "static"),
        ("static", "dynamic"),
        ("dynamic", "dynamic"),
        ("static", "static"),
    ]
    assert {(row["first_frame"], row["last_frame"]) for row in rows} == {("0", "1")}


def test_mistakes_are_counted_and_undefined_scores_left_out(html: str) -> None:
    summary = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", html))
    assert summary["mistaken windows"] == "3 of 5"
    assert summary["window F1"] == "0.4"
    assert "cell F1" not in summary and "loss" not in summary
    assert "no validation sequence has masks: scores per cell are undefined" in html


@pytest.mark.usefixtures("no_figures")
def test_the_gallery_holds_the_worst_of_many(tmp_path: Path, write_folder: WriteFolder) -> None:
    names = [f"s{number:02d}" for number in range(GALLERY_SIZE + 3)]
    evaluation, dataset = scored(tmp_path / "data", names, write_folder)
    report(tmp_path / "r", evaluation, dataset)
    shown = {path.name.removesuffix("_000000.png") for path in (tmp_path / "r" / "heatmaps").iterdir()}
    worst_first = [p.sequence for p in sorted(evaluation.predictions, key=lambda p: -p.error)]
    assert shown == set(worst_first[:GALLERY_SIZE])


@pytest.mark.usefixtures("no_figures")
def test_a_file_that_went_away_costs_its_picture_only(tmp_path: Path, write_folder: WriteFolder) -> None:
    evaluation, dataset = scored(tmp_path / "data", ["there", "gone"], write_folder)
    (tmp_path / "data" / "gone" / "frame_000001.png").unlink()
    html = report(tmp_path / "r", evaluation, dataset)
    assert [path.name for path in (tmp_path / "r" / "heatmaps").iterdir()] == ["there_000000.png"]
    assert "there, frames 0-1" in html and "gone, frames" not in html
    assert "gone,0,1" in (tmp_path / "r" / "predictions.csv").read_text()


def test_an_evaluation_of_nothing_still_makes_a_page(hostile: Scored, tmp_path: Path) -> None:
    evaluation, dataset = hostile
    nothing = Evaluation(evaluation.config, dataset, 0.5, Tally(damaged=["a: broken"]))
    html = report(tmp_path / "r", nothing, dataset)
    assert "0 of 0" in html and "left out: a: broken" in html
    assert (tmp_path / "r" / "predictions.csv").read_text().count("\n") == 1


@pytest.mark.usefixtures("no_figures")
def test_writing_twice_replaces(hostile: Scored, tmp_path: Path) -> None:
    evaluation, dataset = hostile
    first = report(tmp_path / "r", evaluation, dataset)
    assert report(tmp_path / "r", evaluation, dataset) == first
    tally = evaluation.tally
    of_one = Tally(windows=tally.windows[:1], labels=[0], probabilities=tally.probabilities[:1], classes=[0])
    second = report(tmp_path / "r", Evaluation(evaluation.config, dataset, 0.5, of_one), dataset)
    assert "0 of 1" in second and "0 of 1" not in first
