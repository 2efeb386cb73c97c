"""Manifest rows, opened: where the frames and masks of a sequence are, and which of them can be trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from convlstm.clips import too_short
from convlstm.config import TrainConfig
from convlstm.errors import DataError
from convlstm.sources.base import SeekableSource, name_some
from convlstm.sources.folder import FolderSource
from convlstm.sources.open import open_source
from convlstm.utils.data.manifest import ManifestRow

SHORT_REMEDIES = "set short_sequences to skip or repeat_last, or lower seq_length"


@dataclass(frozen=True)
class LabelledSequence:
    """One manifest row, opened: its frames, its class, and where its masks are, if it has any."""

    row: ManifestRow
    source: SeekableSource
    class_index: int
    masks: Path | None

    @property
    def fps(self) -> float:
        """Frames per second, as the manifest says or the video itself."""
        return self.row.fps or self.source.fps

    def mask_file(self, index: int) -> Path | None:
        """Where the mask of a frame is; None where the sequence has none."""
        if self.masks is None or not isinstance(self.source, FolderSource):
            return None
        return self.masks / _mask_name(self.source.files[index])


def open_sequences(rows: Sequence[ManifestRow], config: TrainConfig) -> tuple[list[LabelledSequence], list[str]]:
    """Open all rows; also returns a line for each that is left out because it cannot be used.

    Raises DataError for a sequence shorter than a window where `short_sequences` is "error".
    """
    sequences, left_out = [], []
    for row in rows:
        try:
            sequence = _open_sequence(row, config)
            runs = sequence.source.runs
        except (DataError, OSError) as error:
            left_out.append(str(error))
            continue
        longest = max(len(run) for run in runs)
        is_padded = config.short_sequences == "repeat_last" and len(runs) == 1
        if longest < config.seq_length and not is_padded:
            problem = too_short(row.folder_name, longest, config.seq_length, remedies=SHORT_REMEDIES)
            if config.short_sequences == "error":
                raise problem
            left_out.append(str(problem))
            continue
        sequences.append(sequence)
    return sequences, left_out


def _open_sequence(row: ManifestRow, config: TrainConfig) -> LabelledSequence:
    path = config.data_root / row.folder_name
    source = open_source(path, fps=row.fps or config.fps)
    masks = None
    if isinstance(source, FolderSource):
        _check_links(config.data_root, [path / name for name in source.files.values()])
        masks = _find_masks(source, path / "masks", config.data_root)
    return LabelledSequence(row, source, config.classes.index(row.type), masks)


def _find_masks(source: FolderSource, folder: Path, data_root: Path) -> Path | None:
    _check_links(data_root, [folder])
    if not folder.is_dir():
        return None
    files = {name: folder / _mask_name(name) for name in source.files.values()}
    missing = [name for name, file in files.items() if not file.exists()]
    if missing:
        raise DataError(
            f"{folder}: {len(missing)} of {len(files)} masks missing ({name_some(missing)}): "
            "add them, black where nothing moves, or remove the folder"
        )
    _check_links(data_root, list(files.values()))
    return folder


def _mask_name(frame_name: str) -> str:
    return f"{PurePath(frame_name).stem}.png"


def _check_links(data_root: Path, files: Sequence[Path]) -> None:
    """Raise DataError where a frame or mask is a link that leads out of data_root."""
    for file in files:
        if file.is_symlink() and not file.resolve().is_relative_to(data_root.resolve()):
            raise DataError(f"{file}: a link that leaves data_root: copy the file instead")
