"""One opener for all kinds of sources: `open_source` for one, `find_sources` for what a user typed."""

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from convlstm.errors import DataError
from convlstm.sources.base import SeekableSource
from convlstm.sources.folder import FolderSource, list_images
from convlstm.sources.images import IMAGE_SUFFIXES
from convlstm.sources.video import VIDEO_SUFFIXES, VideoSource


@dataclass(frozen=True)
class SourcePath:
    """A source that is not open yet: a frame folder, a video file, or chosen images (`files`) of one folder."""

    path: Path
    files: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What results call it: the path as given, with what is not UTF-8 replaced."""
        return os.fsencode(self.path).decode("utf-8", "replace")


def open_source(source: str | Path | SourcePath, *, fps: float = 25.0) -> SeekableSource:
    """Open a frame folder, a video file, or a glob of images in one folder.

    `fps` gives frame folders their times. Raises DataError where there is nothing to open.
    """
    if isinstance(source, str) and not Path(source).exists() and glob.has_magic(source):
        found = find_sources(source)
        if len(found) != 1:
            raise DataError(f"{source}: {len(found)} sources match, but one was expected")
        source = found[0]
    if not isinstance(source, SourcePath):
        source = SourcePath(Path(source))
    if source.path.is_dir():
        return FolderSource(source.path, fps=fps, files=source.files or None)
    if not source.path.exists():
        raise DataError(f"{source.path}: no such file or folder")
    if source.path.suffix.lower() in IMAGE_SUFFIXES:
        raise DataError(f"{source.path}: one image shows no motion: give its folder, a video, or a glob of frames")
    return VideoSource(source.path)


def find_sources(source: str | Path, *, batch: bool = False) -> list[SourcePath]:
    """What a user means by `source`: a folder, a video, a glob; with `batch` a folder that holds many.

    Raises DataError where nothing is found.
    """
    path = Path(source)
    if path.is_dir():
        return _in_folder(path) if batch else [_checked_folder(path)]
    if path.exists():
        return [SourcePath(path)]
    if glob.has_magic(str(source)):
        return _matching(str(source))
    raise DataError(f"{source}: no such file or folder")


def _checked_folder(folder: Path) -> SourcePath:
    if not list_images(folder) and _has_sources(folder):
        raise DataError(f"{folder}: holds no images but other sources: use --batch to take each of them")
    return SourcePath(folder)


def _has_sources(folder: Path) -> bool:
    return any(_is_source(entry) for entry in folder.iterdir())


def _is_source(path: Path) -> bool:
    return not path.name.startswith(".") and (path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES)


def _in_folder(folder: Path) -> list[SourcePath]:
    found = [SourcePath(entry) for entry in sorted(folder.iterdir()) if _is_source(entry)]
    if not found:
        raise DataError(f"{folder}: no frame folders or videos in it; leave --batch out for a folder of frames")
    return found


def _matching(pattern: str) -> list[SourcePath]:
    paths = [Path(match) for match in sorted(glob.glob(pattern, recursive=True))]
    sources = [SourcePath(path) for path in paths if _is_source(path)]
    folders = {source.path for source in sources}  # with ** a folder matches, and so do the images in it
    images = [path for path in paths if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES]
    sources += _image_groups([image for image in images if image.parent not in folders])
    if not sources:
        raise DataError(f"{pattern}: matches no frame folder, video or image")
    return sources


def _image_groups(images: Sequence[Path]) -> list[SourcePath]:
    folders: dict[Path, list[str]] = {}
    for image in images:
        folders.setdefault(image.parent, []).append(image.name)
    return [SourcePath(folder, tuple(names)) for folder, names in folders.items()]
