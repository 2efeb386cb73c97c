"""Which rows of a manifest an evaluation may use, and what has to be said about them."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convlstm.config import ModelConfig
from convlstm.config_file import read_yaml
from convlstm.errors import ConfigError, ManifestError
from convlstm.utils.data.manifest import ManifestRow, read_manifest
from convlstm.utils.data.split import given_splits, split_rows

logger = logging.getLogger(__name__)

UNKNOWN = "these weights do not say which sequences training used"

_NOTES = {
    "train": "training used these sequences: their figures say nothing about new footage",
    "val": "training chooses its best epoch by val: sequences that had no part in it, split test, judge more strictly",
    "test": "",
}


@dataclass(frozen=True)
class ChosenRows:
    """`split` is test, val, train or all; `note` warns where training used, or may have used, some of the rows."""

    rows: list[ManifestRow]
    split: str
    note: str = ""


def choose_rows(
    weights: Path,
    model: ModelConfig,
    data_root: Path,
    manifest: str,
    *,
    split: str = "auto",
    val_ratio: float | None = None,
    seed: int | None = None,
) -> ChosenRows:
    """Rows of one split, or all; "auto" takes test where the manifest has such rows, else val.

    Where the manifest does not say what val is, it is drawn again as training drew it, by `val_ratio` and `seed`, or by
    those that the run's args.yaml holds. Raises ManifestError where it cannot be told which rows these are.
    """
    rows = read_manifest(data_root, manifest, model.classes)
    given = given_splits(rows)
    has_test = "test" in given.values()
    drawn = _training_draw(weights, data_root, manifest, val_ratio, seed)
    split_of = _split_of(rows, given, drawn)
    if split == "auto":
        if not has_test and split_of is None:
            raise ManifestError(_unknown(data_root / manifest) + ", or --split all to score every row")
        split = "test" if has_test else "val"
    if split == "all":
        return ChosenRows(rows, split, _note_on_all(rows, split_of))
    if (val_ratio is not None or seed is not None) and (split == "test" or "val" in given.values()):
        logger.warning("val_ratio and seed have no effect: the manifest says which rows are %s", split)
    if split == "test":
        split_of = {row.folder_name: given[row.group] or "" for row in rows}
    if split_of is None:
        raise ManifestError(_unknown(data_root / manifest))
    chosen = [row for row in rows if split_of[row.folder_name] == split]
    if not chosen:
        raise ManifestError(f"{data_root / manifest}: no rows of split {split}: choose another, or all")
    return ChosenRows(chosen, split, _NOTES[split])


def _unknown(manifest: Path) -> str:
    return f"{manifest}: {UNKNOWN}: add a column split, or give training's --val_ratio and --seed"


def _note_on_all(rows: list[ManifestRow], split_of: Mapping[str, str] | None) -> str:
    if split_of is None:
        return f"{UNKNOWN}: where it used some of these, figures are too good"
    num_trained = sum(split_of[row.folder_name] == "train" for row in rows)
    return f"training used {num_trained} of these {len(rows)} sequences: figures are too good" if num_trained else ""


def _split_of(
    rows: list[ManifestRow], given: Mapping[str, str | None], drawn: tuple[float, int] | None
) -> dict[str, str] | None:
    """The split of every row by its folder; None where nobody knows."""
    if all(given.values()) or "val" in given.values():
        return {row.folder_name: given[row.group] or "train" for row in rows}
    if drawn is None:
        return None
    sides = split_rows(rows, val_ratio=drawn[0], seed=drawn[1])
    return {row.folder_name: side for side, members in sides.items() for row in members}


def _training_draw(
    weights: Path, data_root: Path, manifest: str, val_ratio: float | None, seed: int | None
) -> tuple[float, int] | None:
    """How training drew validation: as given, else by args.yaml of the run, if that was trained on this manifest."""
    settings: Mapping[str, Any] = {}
    arguments = weights.resolve().parent.parent / "args.yaml"
    if (val_ratio is None or seed is None) and arguments.is_file():
        settings = read_yaml(arguments)
        is_same = Path(str(settings.get("data_root", ""))).resolve() == data_root.resolve()
        settings = settings if is_same and settings.get("manifest") == manifest else {}
    ratio = val_ratio if val_ratio is not None else settings.get("val_ratio")
    number = seed if seed is not None else settings.get("seed")
    if ratio is None or number is None:
        return None
    try:
        return float(ratio), int(number)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{arguments}: val_ratio and seed must be numbers, got {ratio!r} and {number!r}") from error
