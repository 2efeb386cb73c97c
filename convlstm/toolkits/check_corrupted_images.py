"""`convlstm data check_corrupted_images`: every image decoded wholly, every folder of frames looked through."""

import glob
import logging
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from convlstm.atomic import remove_leftovers
from convlstm.config.toolkits import CheckCorruptedImagesConfig
from convlstm.errors import ConfigError, DataError, printable
from convlstm.toolkits.check_records import is_unchanged, read_parts, read_records, write_part, write_records
from convlstm.toolkits.check_report import Report, table_of, write_report
from convlstm.toolkits.folder_check import (
    Problem,
    duplicate_problems,
    file_problems,
    mask_problems,
    sequence_problems,
    size_problems,
)
from convlstm.toolkits.frame_folders import MASKS, FrameFolder, kind_of, walk_frame_folders
from convlstm.toolkits.image_check import ImageCheck, check_image, hears_decoders, progress_beside_messages
from convlstm.toolkits.quarantine import move_to_quarantine, moves_to_undo, undo_moves
from convlstm.toolkits.runner import Outcome, ToolResult, advance, run_tasks

logger = logging.getLogger(__name__)

_FILES_PER_TASK = 128


def run(config: CheckCorruptedImagesConfig) -> ToolResult:
    """Check, report and, where asked for, move; or take moves back.

    Raises DataError where a source does not exist or holds no images, ConfigError where the output lies inside of one.
    """
    if config.undo:
        return _undo(config)
    folders = _find_folders(config.source or (), config.output)
    paths = [folder.path / name for folder in folders for name in folder.images]
    known = read_records(config.output)
    todo = [path for path in paths if config.overwrite or not _is_known(known, path)]
    if config.dry_run:
        return _plan(config, folders, known, num_todo=len(todo))
    config.output.mkdir(parents=True, exist_ok=True)
    for folder in (config.output, config.output / "checked"):
        remove_leftovers(folder)
    records = _check(config, _without_gone(known, folders), todo)
    checks = {path: records[_key(path)] for path in paths}
    problems = find_problems(config, folders, checks)
    moved = _move(config, folders, problems) if config.fix == "move" else []
    report = Report(folders, problems, moved, num_checked=len(todo), num_known=len(paths) - len(todo))
    write_report(config.output, report)
    return ToolResult(config.output, table_of(report), has_problems=bool(problems))


def find_problems(
    config: CheckCorruptedImagesConfig, folders: Sequence[FrameFolder], checks: Mapping[Path, ImageCheck]
) -> list[Problem]:
    """All problems that are not ignored, folder by folder, then by file; `checks` by path."""
    by_folder: dict[Path, dict[str, ImageCheck]] = defaultdict(dict)
    for path, check in checks.items():
        by_folder[path.parent][path.name] = check
    problems: list[Problem] = []
    for folder in folders:
        own = by_folder[folder.path]
        problems += file_problems(folder, own)
        if folder.is_masks:
            problems += mask_problems(folder, own, by_folder.get(folder.path.parent, {}))
        elif folder.images:
            problems += size_problems(folder, own)
            problems += sequence_problems(folder, own, min_frames=config.min_frames)
    problems += duplicate_problems(folders, checks)
    found = [problem for problem in problems if problem.kind not in (config.ignore or ())]
    return sorted(found, key=lambda problem: (problem.folder, problem.file))


def _find_folders(sources: Sequence[str], output: Path) -> list[FrameFolder]:
    found: dict[Path, FrameFolder] = {}
    for source in sources:
        folders = list(_folders_of(source))
        if not any(folder.images for folder in folders):
            raise DataError(f"{source}: no images there: name a folder with images in it, at any depth")
        _check_outside(output, [Path(source), *(folder.path for folder in folders)])
        for folder in folders:
            key = folder.path.resolve()  # one folder may be named twice, and each in its way
            before = found.get(key, folder)
            found[key] = replace(before, images=tuple(sorted({*before.images, *folder.images})))
    return sorted(found.values(), key=lambda folder: folder.path)


def _folders_of(source: str) -> list[FrameFolder]:
    """The folders below a folder; of a file or a glob, the folders that its images stand in."""
    path = Path(source)
    if path.is_dir():
        return list(walk_frame_folders(path))
    if not path.exists() and not glob.has_magic(source):
        raise DataError(f"{source}: no such file or folder")
    matches = [path] if path.exists() else [Path(match) for match in glob.glob(source, recursive=True)]
    folders = [folder for match in matches if match.is_dir() for folder in walk_frame_folders(match)]
    images = defaultdict(list)
    for match in matches:
        if match.is_file() and kind_of(match.name) == "image":
            images[match.parent].append(match.name)
    return folders + [FrameFolder(folder, tuple(sorted(names))) for folder, names in images.items()]


def _check_outside(output: Path, source: Sequence[Path]) -> None:
    """Raise ConfigError where the output lies inside the source, or the source in the output."""
    inner = output.resolve()
    for path in source:
        outer = path.resolve()
        if outer.is_relative_to(inner) or (path == source[0] and path.is_dir() and inner.is_relative_to(outer)):
            raise ConfigError(
                f"output {output} lies inside the source, or holds {path}: what it quarantines would be checked"
            )


def _key(path: Path) -> str:
    return str(path.absolute())


def _is_known(known: Mapping[str, ImageCheck], path: Path) -> bool:
    record = known.get(_key(path))
    return record is not None and is_unchanged(record, path)


def _without_gone(known: Mapping[str, ImageCheck], folders: Sequence[FrameFolder]) -> dict[str, ImageCheck]:
    """Without records of files that have left the folders looked at."""
    present = {_key(folder.path / name) for folder in folders for name in folder.images}
    looked_at = {_key(folder.path) for folder in folders}
    return {
        key: record
        for key, record in known.items()
        if key in present or str(Path(key).parent) not in looked_at or os.path.lexists(key)
    }


def _check(
    config: CheckCorruptedImagesConfig, known: Mapping[str, ImageCheck], todo: Sequence[Path]
) -> dict[str, ImageCheck]:
    """Check the files of `todo` and write down what is known; returns it, with what was `known` before."""
    if todo and not hears_decoders():
        logger.warning(
            "this OpenCV does not tell of damage that it painted over: JPEG files that decode are taken for whole"
        )
    files = [(path.absolute(), known.get(_key(path))) for path in todo]
    tasks = [files[start : start + _FILES_PER_TASK] for start in range(0, len(files), _FILES_PER_TASK)]
    with progress_beside_messages():
        outcomes = run_tasks(
            partial(_check_files, output=config.output),
            tasks,
            name=lambda task: str(task[0][0]),
            workers=config.workers,
            description="checking",
            total=len(todo),
            unit="images",
        )
    failed = [outcome for outcome in outcomes if outcome.problem is not None]
    if failed:
        raise DataError(f"{config.output}: what was found cannot be kept: {failed[0].problem}")
    records = {**known, **read_parts(config.output)}
    write_records(config.output, records)
    return records


def _check_files(files: Sequence[tuple[Path, ImageCheck | None]], *, output: Path) -> Outcome:
    """One task: files with what was known of them. What is found is on the disk when it returns."""
    records = []
    for path, before in files:
        records.append(_compared(before, check_image(path)))
        advance()
    write_part(output, records)
    return Outcome(str(files[0][0]), {"images": len(files)})


def _compared(before: ImageCheck | None, now: ImageCheck) -> ImageCheck:
    """Marked where the content is another although size and time are not: a disk that forgets does that."""
    if before is None or now.kind is not None or (before.size, before.modified_ns) != (now.size, now.modified_ns):
        return now
    if before.kind == "changed" and before.fingerprint == now.fingerprint:
        return replace(now, kind="changed", detail=before.detail)
    if before.fingerprint and before.fingerprint != now.fingerprint:
        detail = "other content than when it was last checked, with the same size and time: the disk may be failing"
        return replace(now, kind="changed", detail=detail)
    return now


def _move(
    config: CheckCorruptedImagesConfig, folders: Sequence[FrameFolder], problems: Sequence[Problem]
) -> list[Path]:
    """Move files with a problem of `fix_kinds`, each together with its mask or frame, so that pairs stay pairs."""
    files = _files_to_move(config, folders, problems)
    failed = move_to_quarantine(config.output, files)
    for line in failed:
        logger.warning("%s", line)
    return [file for file in files if not file.exists()]


def _files_to_move(
    config: CheckCorruptedImagesConfig, folders: Sequence[FrameFolder], problems: Sequence[Problem]
) -> list[Path]:
    images = {folder.path: folder.images for folder in folders}
    files: dict[Path, None] = {}
    for problem in problems:
        if problem.file and problem.kind in config.fix_kinds:
            is_mask = problem.folder.name == MASKS
            partner_folder = problem.folder.parent if is_mask else problem.folder / MASKS
            stem = Path(problem.file).stem
            partners = [name for name in images.get(partner_folder, ()) if Path(name).stem == stem]
            files |= dict.fromkeys([problem.path, *(partner_folder / name for name in partners)])
    return list(files)


def _plan(
    config: CheckCorruptedImagesConfig,
    folders: Sequence[FrameFolder],
    known: Mapping[str, ImageCheck],
    *,
    num_todo: int,
) -> ToolResult:
    num_images = sum(len(folder.images) for folder in folders)
    lines = [
        f"would check {num_todo:,} images in {len(folders):,} folders; {num_images - num_todo:,} are unchanged "
        "since they were checked"
    ]
    if config.fix == "move":
        paths = [folder.path / name for folder in folders for name in folder.images]
        checks = {path: known[_key(path)] for path in paths if _is_known(known, path)}
        whole = [folder for folder in folders if all(folder.path / name in checks for name in folder.images)]
        files = _files_to_move(config, folders, find_problems(config, whole, checks))
        lines += [f"would move {printable(str(file))}" for file in files]
        if num_todo:
            lines.append("and what is found in the images that are still to be checked")
    return ToolResult(config.output, "\n".join(lines))


def _undo(config: CheckCorruptedImagesConfig) -> ToolResult:
    if config.dry_run:
        return ToolResult(config.output, f"would move back {moves_to_undo(config.output):,} files")
    num_restored, problems = undo_moves(config.output)
    return ToolResult(config.output, f"moved back {num_restored:,} files", tuple(problems))
