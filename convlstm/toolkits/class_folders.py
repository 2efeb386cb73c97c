"""The sequences in a root with one folder for each class, and what is wrong where there are none."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from convlstm.errors import DataError, ManifestError
from convlstm.sources.base import name_some
from convlstm.toolkits.frame_folders import FrameFolder, walk_frame_folders
from convlstm.utils.data.manifest import path_inside


@dataclass(frozen=True)
class FoundSequence:
    """A folder of frames or a video; `folder_name` is its path below root, with slashes, as the manifest has it."""

    folder_name: str
    kind: str

    is_video: bool

    @property
    def parts(self) -> tuple[str, ...]:
        """Names below the class folder; that of a video without suffix."""
        path = PurePosixPath(self.folder_name)
        return (path.with_suffix("") if self.is_video else path).parts[1:]


@dataclass(frozen=True)
class Found:
    """What is in a root; `left_out` names what cannot be used, `others` folders beside those of the classes."""

    sequences: list[FoundSequence]
    left_out: list[str]
    others: list[str]


def find_sequences(root: Path, classes: Sequence[str]) -> Found:
    """All sequences below the class folders, by class, then by name.

    Raises DataError, which says what stands there instead, where a class folder is missing or holds no sequences.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder: --root is the folder that holds {' and '.join(classes)}")
    names = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    missing = [kind for kind in classes if kind not in names]
    if missing:
        raise DataError(_missing(root, classes, missing, names))
    found = Found([], [], [name for name in names if name not in classes])
    for kind in classes:
        before = len(found.sequences)
        for folder in walk_frame_folders(root / kind):
            _add(found, root, kind, folder)
        if len(found.sequences) == before:
            raise DataError(_empty(root / kind, found.left_out))
    return found


def _add(found: Found, root: Path, kind: str, folder: FrameFolder) -> None:
    if folder.is_masks:
        return
    relative = PurePosixPath(folder.path.relative_to(root).as_posix())
    names = [str(relative / name) for name in folder.videos]
    if folder.images and relative == PurePosixPath(kind):
        found.left_out.append(
            f"{relative}: {len(folder.images)} images directly in the class folder, such as {folder.images[0]}: "
            f"a sequence needs a folder of its own: {relative}/NAME/{folder.images[0]}"
        )
    elif folder.images:
        names.insert(0, str(relative))
    for name in names:
        try:
            path_inside(root, name, "the name")
            name.encode()
            found.sequences.append(FoundSequence(name, kind, is_video=name != str(relative)))
        except ManifestError as error:
            found.left_out.append(f"{name}: {error}")
        except UnicodeEncodeError:
            found.left_out.append(f"{name.encode(errors='replace').decode()}: the name is no UTF-8: rename it")
    found.left_out.extend(f"{relative / link}: a link to a folder: copy the folder instead" for link in folder.links)


def _missing(root: Path, classes: Sequence[str], missing: Sequence[str], names: Sequence[str]) -> str:
    wanted = f"{root}: no folder {' and no folder '.join(missing)} in it"
    if root.name in classes:
        return f"{wanted}, but it is the one of a class itself: --root {root.parent}"
    by_lower = {name.lower(): name for name in names}
    other_case = [by_lower[kind.lower()] for kind in missing if kind.lower() in by_lower]
    if other_case:
        return f"{wanted}, but {name_some(other_case)}: rename it, or name the classes: --classes {' '.join(names)}"
    deeper = [name for name in names if all((root / name / kind).is_dir() for kind in classes)]
    if len(deeper) == 1:
        return f"{wanted}, but in {deeper[0]}: --root {root / deeper[0]}"
    if deeper:
        return (
            f"{wanted}, but in each of {name_some(deeper)}: bring them together, one folder for each class, "
            "and let --split part them"
        )
    there = f"there is {name_some(names)}" if names else "there are no folders"
    return f"{wanted}; {there}: expected {root}/{missing[0]}/NAME/frame_000001.png, or other --classes"


def _empty(folder: Path, left_out: Sequence[str]) -> str:
    reasons = [line for line in left_out if line.startswith((f"{folder.name}:", f"{folder.name}/"))]
    if reasons:
        return f"{folder}: no usable sequence: {reasons[0]}"
    return f"{folder}: no frames and no videos in it: expected {folder}/NAME/frame_000001.png or {folder}/NAME.mp4"
