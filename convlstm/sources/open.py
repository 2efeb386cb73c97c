"""One opener for all kinds of sources: `open_source` for one, `find_sources` for what a user typed.

frames/                  a folder of frames            rtsp://host/path     a camera on the network
clip.mp4                 a video file                  http://host/video    HTTP MJPEG and other live streams
frames/*.png             a glob                        0, /dev/video0       a camera of this machine
http://host/clip.mp4     a video file on a web server
"""

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from convlstm.errors import DataError
from convlstm.sources.address import is_live, is_url, shown_address
from convlstm.sources.base import SeekableSource, Source
from convlstm.sources.folder import FolderSource, list_images
from convlstm.sources.images import IMAGE_SUFFIXES
from convlstm.sources.live import LiveSource
from convlstm.sources.sampling import SampledSource
from convlstm.sources.video import VIDEO_SUFFIXES, VideoSource


@dataclass(frozen=True)
class SourcePath:
    """A source that is not open yet: a frame folder, a video file, images (`files`) of one folder, or a `url`."""

    path: Path
    files: tuple[str, ...] = ()
    url: str = ""

    @property
    def name(self) -> str:
        """What results call it: as given, with what is not UTF-8 replaced, a URL without its password."""
        return shown_address(self.url) if self.url else os.fsencode(self.path).decode("utf-8", "replace")


@overload
def open_source(source: Path | SourcePath, *, fps: float = 25.0) -> SeekableSource: ...


@overload
def open_source(source: str | Path | SourcePath, *, fps: float = 25.0, sample_fps: float | None = None) -> Source: ...


def open_source(source: str | Path | SourcePath, *, fps: float = 25.0, sample_fps: float | None = None) -> Source:
    """Open a frame folder, a video file, a glob of images in one folder, a URL, or a camera.

    `fps` gives frame folders their times. With `sample_fps` at most so many frames a second are given out, chosen by
    presentation time. A path gives a SeekableSource, a live address a LiveSource. Raises DataError where there is
    nothing to open; a camera is not opened before its frames are asked for.
    """
    if isinstance(source, str) and is_live(source):
        return LiveSource(source, sample_fps=sample_fps)
    opened = _open_file(source, fps)
    return opened if sample_fps is None else SampledSource(opened, sample_fps)


def _open_file(source: str | Path | SourcePath, fps: float) -> SeekableSource:
    if not isinstance(source, SourcePath):
        found = find_sources(str(source)) if is_url(str(source)) or _is_glob(source) else [SourcePath(Path(source))]
        if len(found) != 1:
            raise DataError(f"{source}: {len(found)} sources match, but one was expected")
        source = found[0]
    if source.url:
        return VideoSource(source.url, name=source.name)
    if source.path.is_dir():
        return FolderSource(source.path, fps=fps, files=source.files or None)
    if not source.path.exists():
        raise DataError(f"{source.path}: no such file or folder")
    if source.path.suffix.lower() in IMAGE_SUFFIXES:
        raise DataError(f"{source.path}: one image shows no motion: give its folder, a video, or a glob of frames")
    return VideoSource(source.path)


def _is_glob(source: str | Path) -> bool:
    return glob.has_magic(str(source)) and not Path(source).exists()


def find_sources(source: str | Path, *, batch: bool = False) -> list[SourcePath]:
    """What a user means by `source`: a folder, a video, a glob, a URL; with `batch` a folder that holds many.

    Raises DataError where nothing is found.
    """
    if is_url(str(source)):
        return [SourcePath(Path(), url=str(source))]
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
