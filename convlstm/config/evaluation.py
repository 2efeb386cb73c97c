"""Settings of an evaluation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from convlstm.config.fields import (
    BaselineName,
    DetectPrecision,
    EngineName,
    ShortSequences,
    check,
    check_positive,
    check_threshold,
    setting,
)


@dataclass(frozen=True)
class EvalConfig:
    """An evaluation: of a data set with a manifest, or of one source with its truth."""

    data_root: Path | None = setting(None, "Folder that holds the manifest and the sequences.")
    manifest: str = setting("data.csv", "Manifest inside data_root; its column kind names kinds of nuisance.")
    split: Literal["auto", "test", "val", "train", "all"] = setting(
        "auto", "Which rows; auto: test where the manifest has such rows, else val."
    )
    val_ratio: float | None = setting(
        None, "Of the training, where val was drawn; default: as the run's args.yaml says."
    )
    seed: int | None = setting(None, "Of the training, where val was drawn; default: as the run's args.yaml says.")
    source: str | None = setting(None, "In place of data_root: one video or frame folder.")
    truth: Path | None = setting(None, "Truth of the source: a folder of mask PNGs, or a CSV or JSON file of events.")
    roi: tuple[str, ...] = setting(
        (), 'Where the truth holds, all that is scored: polygons "x1 y1 x2 y2 x3 y3 ...", 0..1; default: everywhere.'
    )
    ignore: tuple[str, ...] = setting((), "Where nobody knows the truth: polygons like those of roi.")
    output: Path = setting(Path("eval"), "Folder for metrics.json, windows.csv and report.html.")
    threshold: float | None = setting(None, "A cell is dynamic from this probability on; default: the checkpoint's.")
    stride: int = setting(3, "Frames between the starts of neighbouring windows.")
    fps: float = setting(25.0, "Frame rate of frame folders, where the manifest gives none.")
    short_sequences: ShortSequences = setting("skip", "Sequences shorter than a window: error, skip, repeat_last.")
    mask_min_share: float = setting(0.02, "A cell with masks is dynamic where more than this share of it is.")
    false_cells: int = setting(3, "A window in which nothing moves is false from so many hot cells on.")
    at_recall: float = setting(0.95, "Precision is also given at the threshold that finds this share.")
    baselines: tuple[str, ...] = setting(
        ("all",), "Methods to compare with: all, none, or of frame_difference mog2 knn optical_flow."
    )
    resamples: int = setting(1000, "Draws of the bootstrap that gives the 95 % intervals.")
    recall: float | None = setting(None, "Find the threshold that finds this share on val, and store it in weights.")
    calibrate: bool = setting(
        False, "Fit temperature and offset on val, so that 0.5 means one half; stored in weights."
    )
    save_weights: Path | None = setting(None, "Where recall and calibrate write their copy of the weights.")
    overwrite: bool = setting(False, "Let save_weights replace a file; without it, the given weights.")
    engine: EngineName = setting("auto", "What runs the network; auto: the fastest that is installed.")
    precision: DetectPrecision = setting("auto", "Of the encoder; auto: bf16 where it changes next to nothing.")
    device: str = setting("auto", "auto, cpu, cuda, mps, or cuda:N.")

    def __post_init__(self) -> None:
        check_positive(self, "stride", "fps", "false_cells", "resamples")
        check(0 <= self.mask_min_share < 1, f"mask_min_share must lie in [0, 1), got {self.mask_min_share}")
        for name in ("at_recall", "recall"):
            share = getattr(self, name)
            check(share is None or 0 < share <= 1, f"{name} must be greater than 0 and at most 1, got {share}")
        check(self.val_ratio is None or 0 < self.val_ratio < 1, f"val_ratio must lie in (0, 1), got {self.val_ratio}")
        if self.threshold is not None:
            check_threshold(self.threshold)
        self._check_inputs()
        self._check_tuning()
        known = {"all", "none", *get_args(BaselineName)}
        unknown = [name for name in self.baselines if name not in known]
        check(not unknown, f"baselines must be of {', '.join(sorted(known))}, got {', '.join(unknown)}")
        check(
            bool(self.baselines) and (len(self.baselines) == 1 or not {"all", "none"} & set(self.baselines)),
            f"baselines must be all, none, or names of methods, got {' '.join(self.baselines) or 'nothing'}",
        )

    def _check_inputs(self) -> None:
        """What belongs to one kind of input must not be given with the other: it would do nothing."""
        check(
            (self.data_root is None) != (self.source is None),
            "evaluation needs either --data_root or --source with --truth",
        )
        if self.source is not None:
            check(self.truth is not None, "--source needs --truth: a folder of masks, or a CSV or JSON file of events")
            foreign = {"split": "auto", "manifest": "data.csv", "val_ratio": None, "seed": None}
        else:
            foreign = {"truth": None}
        given = [name for name, default in foreign.items() if getattr(self, name) != default]
        kind = "--source" if self.source is not None else "--data_root"
        check(not given, f"{', '.join(given)} has no meaning with {kind}: leave it out")

    def _check_tuning(self) -> None:
        wanted = [name for name in ("recall", "calibrate") if getattr(self, name)]
        if not wanted:
            useless = "save_weights" if self.save_weights is not None else "overwrite" if self.overwrite else ""
            check(not useless, f"{useless} has no meaning without --recall or --calibrate: leave it out")
            return
        check(
            self.source is None and self.split == "val",
            f"--{wanted[0]} learns from what it is given, so it needs validation data, --data_root D --split val: "
            "judge the result on other data afterwards",
        )
        check(
            self.save_weights is not None or self.overwrite,
            f"--{wanted[0]} changes weights: name a file with --save_weights, or let --overwrite change the given one",
        )

    @property
    def baseline_names(self) -> tuple[BaselineName, ...]:
        """The methods to compare with."""
        known: tuple[BaselineName, ...] = get_args(BaselineName)
        return known if self.baselines == ("all",) else tuple(name for name in known if name in self.baselines)
