"""Folders of frames below a folder, at any depth; `masks` beside frames are no frames."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from convlstm.errors import DataError
from convlstm.sources.images import IMAGE_SUFFIXES
from convlstm.sources.video import VIDEO_SUFFIXES

MASKS = "masks"

CONTACT_SHEET = "contact_sheet.png"
"""A picture to look at, which sequence_augmentation leaves in the root of a data set; no frame."""


@dataclass(frozen=True)
class FrameFolder:
    """A folder with images or videos directly in it, by name in order."""

    path: Path
    images: tuple[str, ...]
    videos: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    """Folders that are links: nothing goes after them."""

    @property
    def is_masks(self) -> bool:
        """Whether its images are masks of the frames in the folder above."""
        return self.path.name == MASKS


def walk_frame_folders(root: Path) -> Iterator[FrameFolder]:
    """Every folder in `root` that holds images, videos or links to folders, itself included; hidden ones are left out.

    Raises DataError for a folder that cannot be listed.
    """
    folders: list[str] = []
    files: dict[str, list[str]] = {"image": [], "video": [], "link": []}
    try:
        with os.scandir(root) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name == CONTACT_SHEET:
                    continue
                if entry.is_dir():
                    (files["link"] if entry.is_symlink() else folders).append(entry.name)
                elif kind := kind_of(entry.name):
                    files[kind].append(entry.name)
    except OSError as error:
        raise DataError(f"{root}: cannot be listed: {error.strerror}") from error
    images, videos, links = (tuple(sorted(names)) for names in files.values())
    if images or videos or links:
        yield FrameFolder(root, images, videos, links)
    for name in sorted(folders):
        yield from walk_frame_folders(root / name)


def kind_of(name: str) -> str:
    """ "image", "video" or, for neither, nothing, by the suffix."""
    suffix = PurePath(name).suffix.lower()
    return "image" if suffix in IMAGE_SUFFIXES else "video" if suffix in VIDEO_SUFFIXES else ""
