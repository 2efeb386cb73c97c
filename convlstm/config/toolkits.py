"""Settings of the seven tools that prepare data; the docstring of each is the help of its command."""

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from convlstm.config.fields import check, check_not_negative, check_positive, default_of, setting
from convlstm.config.times import parse_seconds
from convlstm.config.training import AugmentConfig
from convlstm.errors import ConfigError

FrameFormat = Literal["png", "jpg"]
Fit = Literal["letterbox", "crop", "stretch"]
Fix = Literal["none", "move"]
ImageProblem = Literal[
    "empty",
    "unreadable",
    "truncated",
    "damaged",
    "too_large",
    "changed",
    "trailing_data",
    "wrong_size",
    "duplicate",
    "order",
    "out_of_order",
    "gap",
    "too_short",
]


@dataclass(frozen=True)
class ToolConfig:
    """What every tool has."""

    workers: int | None = setting(None, "Processes that work side by side; default: one for each core.")
    dry_run: bool = setting(False, "Only say what would be done.")
    overwrite: bool = setting(False, "Do all of it again; default: only what is missing.")

    def __post_init__(self) -> None:
        check(self.workers is None or self.workers > 0, f"workers must be greater than 0, got {self.workers}")


@dataclass(frozen=True)
class VideoFrameExtractorConfig(ToolConfig):
    """Turn videos into folders of numbered frames, with their true times in frames.csv.

    convlstm data video_frame_extractor --source videos --output data/dynamic --fps 10

    Of videos/fire.mp4 it makes data/dynamic/fire/frame_000001.png and so on; of videos/yard/fire.mp4 the folder
    data/dynamic/yard__fire. One folder for each class, as here dynamic, is what generate_data_csv reads. A frame that
    does not decode leaves a gap in the numbers, so that nothing takes its neighbours for consecutive ones.
    """

    source: tuple[str, ...] | None = setting(None, "Videos: files, folders with all below them, globs.")
    output: Path | None = setting(None, "Folder for the folders of frames.")
    fps: float | None = setting(None, "At most so many frames a second, chosen by their times; default: all frames.")
    every: int | None = setting(None, "Every so-many-th frame, instead of fps.")
    start: str | None = setting(None, "Only from this time of the video on: seconds, or h:mm:ss.")
    end: str | None = setting(None, "Only before this time.")
    size: tuple[int, int] | None = setting(None, "Height and width of the frames; default: as in the video.")
    fit: Fit = setting("letterbox", "With size: letterbox (black bars), crop (the middle), or stretch.")
    format: FrameFormat = setting("png", "png, which loses nothing, or jpg.")
    quality: int = setting(95, "Of jpg, 1 to 100.")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_inputs(self.source, self.output, "--source videos --output data/dynamic")
        check_pictures(self.size, self.format, self.quality, is_quality_set=self.quality != default_of(self, "quality"))
        check(self.fps is None or self.every is None, "fps and every are both given: choose one")
        check(self.fps is None or self.fps > 0, f"fps must be greater than 0, got {self.fps}")
        check(self.every is None or self.every > 0, f"every must be greater than 0, got {self.every}")
        check(self.size is not None or self.fit == default_of(self, "fit"), f"fit {self.fit} needs a size: give one")
        start, end = self.start_seconds, self.end_seconds
        check(end is None or end > (start or 0), f"end must lie after start, got {self.start or 0} to {self.end}")

    @property
    def start_seconds(self) -> float | None:
        """`start` in seconds."""
        return None if self.start is None else parse_seconds(self.start, "start")

    @property
    def end_seconds(self) -> float | None:
        """`end` in seconds."""
        return None if self.end is None else parse_seconds(self.end, "end")


@dataclass(frozen=True)
class ImageToStaticFramesConfig(ToolConfig):
    """Turn photographs into sequences in which nothing happens, as a camera on a stand would film them.

    convlstm data image_to_static_frames --source photos --output data/static --size 640 640

    Each strength is 1 for a common camera, 0 for none of it, up to 4. Sequences have no masks: training takes static
    ones without masks for static everywhere.
    """

    source: tuple[str, ...] | None = setting(None, "Photographs: files, folders with all below them, globs.")
    output: Path | None = setting(None, "Folder for the sequences, such as data/static.")
    num_frames: int = setting(40, "Frames of each sequence.")
    fps: float = setting(25.0, "Frame rate that they are filmed at: how fast light, focus and the stand change.")
    size: tuple[int, int] | None = setting(
        None, "Height and width of the frames; default: as the photograph, its longer side at most 1280."
    )
    fit: Fit = setting("crop", "With size: crop (the middle), letterbox (black bars), or stretch.")
    noise: float = setting(1.0, "Strength of sensor noise.")
    exposure: float = setting(1.0, "Strength of the drift of exposure and white balance.")
    shake: float = setting(1.0, "Strength of the shake, about a third of a pixel at 1.")
    refocus: float = setting(1.0, "Strength of the blur when the camera looks for its focus.")
    compression: float = setting(1.0, "Strength of the compression by a video or JPEG encoder.")
    exact: bool = setting(False, "Identical copies of the photograph instead.")
    format: FrameFormat = setting("png", "png, which loses nothing, or jpg.")
    quality: int = setting(95, "Of jpg, 1 to 100.")
    seed: int = setting(0, "Decides every pixel, together with the photograph's name.")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_inputs(self.source, self.output, "--source photos --output data/static")
        check_pictures(self.size, self.format, self.quality, is_quality_set=self.quality != default_of(self, "quality"))
        check(self.size is not None or self.fit == default_of(self, "fit"), f"fit {self.fit} needs a size: give one")
        check(self.num_frames >= 2, f"num_frames must be at least 2, got {self.num_frames}")
        check_positive(self, "fps")
        check_not_negative(self, "seed")
        for name in FILM_STRENGTHS:
            value = getattr(self, name)
            check(0 <= value <= 4, f"{name} must lie in [0, 4], got {value}")
            is_idle = self.exact and value != default_of(self, name)
            check(not is_idle, f"exact makes identical copies, {name} {value} would do nothing: leave one of them out")


FILM_STRENGTHS = ("noise", "exposure", "shake", "refocus", "compression")
"""Settings of ImageToStaticFramesConfig that say how strong something is."""


@dataclass(frozen=True)
class SequenceAugmentationConfig(ToolConfig):
    """Make changed copies of sequences, each copy by one random change that is the same for all of its frames.

    convlstm data sequence_augmentation --source data --output data --copies 2

    Masks follow, black areas stay black, and copies keep the group of their original, so that no split separates them.
    Where the source has a manifest, only training sequences are copied, and the copies stand in the output's data.csv.
    The output may be the source: copies then stand beside the originals, and are not copied again. Each setting from
    flip to frame_drop is a probability, as its namesake in training.yaml; see contact_sheet.png for what came out.
    """

    source: tuple[str, ...] | None = setting(None, "A data set with data.csv, or sequences: folders, videos, globs.")
    output: Path | None = setting(None, "Folder for the copies; the source itself is allowed.")
    manifest: str = setting("data.csv", "Name of the manifest in the source and in the output.")
    splits: tuple[str, ...] = setting(("train",), "With a manifest, the splits that are copied.")
    copies: int = setting(1, "Copies of each sequence.")
    smooth: bool = setting(
        False, "Light, colour, blur, noise and compression change slowly in time; geometry does not."
    )
    flip: float = setting(0.5, "Probability of left and right exchanged.")
    flip_vertical: float = setting(0.0, "Probability of top and bottom exchanged.")
    crop: float = setting(0.5, "Probability of a part of the frame, enlarged.")
    rotation: float = setting(0.3, "Probability of a rotation by up to 5 degrees, enlarged until no corner is empty.")
    brightness: float = setting(0.5, "Probability of other brightness.")
    contrast: float = setting(0.5, "Probability of other contrast.")
    colour: float = setting(0.3, "Probability of other saturation and white balance.")
    blur: float = setting(0.2, "Probability of blur.")
    noise: float = setting(0.3, "Probability of sensor noise, new in every frame.")
    compression: float = setting(0.2, "Probability of JPEG compression.")
    reverse: float = setting(0.2, "Probability of time running backwards.")
    frame_drop: float = setting(0.1, "Probability of frames that are lost and shown as the one before.")
    format: FrameFormat = setting("png", "png, which loses nothing, or jpg.")
    quality: int = setting(95, "Of jpg, 1 to 100.")
    seed: int = setting(0, "Decides every change, together with the sequence's name.")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_inputs(self.source, self.output, "--source data --output data")
        check_pictures(None, self.format, self.quality, is_quality_set=self.quality != default_of(self, "quality"))
        check_positive(self, "copies")
        check_not_negative(self, "seed")
        for name in CHANGES:
            value = getattr(self, name)
            check(0 <= value <= 1, f"{name} must lie in [0, 1], got {value}")
        check(any(getattr(self, name) for name in CHANGES), "all probabilities are 0: copies would be as the original")
        check(bool(self.splits), "splits is empty: name at least one, such as train")
        unknown = [split for split in self.splits if split not in ("train", "val", "test")]
        check(not unknown, f"splits must be of train, val and test, got {' '.join(unknown)}")

    def augment_config(self) -> AugmentConfig:
        """The same probabilities as training knows them; it knows no rotation."""
        known = {setting.name for setting in fields(AugmentConfig)}
        return AugmentConfig(**{f"aug_{name}": getattr(self, name) for name in CHANGES if f"aug_{name}" in known})


CHANGES = (
    "flip",
    "flip_vertical",
    "crop",
    "rotation",
    "brightness",
    "contrast",
    "colour",
    "blur",
    "noise",
    "compression",
    "reverse",
    "frame_drop",
)
"""Settings of SequenceAugmentationConfig that are probabilities."""


def check_inputs(source: tuple[str, ...] | None, output: Path | None, example: str) -> None:
    """Raise ConfigError unless both were given."""
    missing = [name for name, value in (("source", source), ("output", output)) if not value]
    check(not missing, f"no {' and no '.join(missing)} given: for example {example}")


def check_pictures(size: tuple[int, int] | None, format: FrameFormat, quality: int, *, is_quality_set: bool) -> None:
    """Raise ConfigError for a size or a quality that no frame can have."""
    check(size is None or all(1 <= side <= 16384 for side in size), f"size must be of sides 1 to 16384, got {size}")
    check(1 <= quality <= 100, f"quality must lie in [1, 100], got {quality}")
    check(format == "jpg" or not is_quality_set, f"quality {quality} is for jpg, not for {format}: add --format jpg")


@dataclass(frozen=True)
class GenerateDataCsvConfig(ToolConfig):
    """Write data.csv for a folder that holds one folder for each class, each with folders of frames and videos in it.

    convlstm data generate_data_csv --root data --split 0.7 0.2 0.1

    Sequences of one group stay on one side of a split. The group is that of origin.json, which the tools write; else
    the name of the source video, as far as the name of the folder tells it: cam1_0001 and cam1_0002 are of cam1,
    video3_clip_002 is of video3; --group_regex says it where names are made otherwise. --update adds what is new, and
    changes nothing that stands there.
    """

    root: Path | None = setting(None, "Folder with the class folders; train's data_root.")
    output: Path | None = setting(None, "The manifest to write; default: data.csv in root, where training looks.")
    classes: tuple[str, ...] = setting(("static", "dynamic"), "Names of the class folders.")
    update: bool = setting(False, "Add new sequences to the manifest that is there, and keep all of it.")
    group_regex: str | None = setting(
        None, "Found in the path below root, its first group names the group: [^/]+/([a-z]+)_."
    )
    split: tuple[float, ...] | None = setting(
        None, "Shares of train, val and test: 0.7 0.2 0.1, or 0.8 0.2 without a test split."
    )
    seed: int = setting(0, "Decides who goes where in a split.")
    compare: bool = setting(True, "Decode some frames of each sequence to find near-identical ones in other groups.")

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.root is not None, "no root is given: --root data, a folder that holds the class folders")
        names_ok = len(set(self.classes)) == len(self.classes) >= 2 and all(map(is_plain_name, self.classes))
        check(names_ok, f"classes must be at least two different names of folders, got {list(self.classes)}")
        check(not (self.update and self.overwrite), "update keeps the manifest, overwrite makes it anew: choose one")
        check_not_negative(self, "seed")
        shares = (0.7, 0.2, 0.1) if self.split is None else self.split
        is_whole = abs(sum(shares) - 1) < 1e-6 and all(share > 0 for share in shares)
        wanted = "two or three shares greater than 0 that add up to 1, such as 0.7 0.2 0.1"
        check(len(shares) in (2, 3) and is_whole, f"split must be {wanted}, got {list(shares)}")
        try:
            re.compile(self.group_regex or "")
        except re.error as error:
            raise ConfigError(f"group_regex {self.group_regex} is no regular expression: {error}") from error


@dataclass(frozen=True)
class CheckCorruptedImagesConfig(ToolConfig):
    """Decode every image wholly, and name what is wrong with files, with folders of frames, and with their numbering.

    convlstm data check_corrupted_images --source data
    convlstm data check_corrupted_images --source data --fix move
    convlstm data check_corrupted_images --undo

    Nothing is ever deleted, and nothing is moved unless asked for. A second run looks only at files that have changed.
    Ends with 3 where there are problems: problems.csv and report.json in the output name all of them.
    """

    source: tuple[str, ...] | None = setting(None, "Images: files, folders with all below them, globs.")
    output: Path = setting(Path("runs/check"), "Folder for the report, outside of the images.")
    min_frames: int = setting(10, "Fewer usable frames in a row are too short for a sequence: train's seq_length.")
    ignore: tuple[ImageProblem, ...] | None = setting(
        None, "Kinds of problems that are none here: duplicate gap too_short."
    )
    fix: Fix = setting("none", "move: bring the files with a problem of fix_kinds into the output's quarantine.")
    fix_kinds: tuple[ImageProblem, ...] = setting(
        ("empty", "unreadable", "truncated", "damaged", "too_large"), "Which problems fix is for."
    )
    undo: bool = setting(False, "Move back what fix has moved, and do nothing else.")

    def __post_init__(self) -> None:
        super().__post_init__()
        check(bool(self.source) or self.undo, "no source is given: --source data")
        check(not (self.undo and self.fix != "none"), "undo moves back what fix moves: choose one")
        check_not_negative(self, "min_frames")
        about_folders = {"order", "out_of_order", "gap", "too_short"} & set(self.fix_kinds)
        check(not about_folders, f"fix_kinds {', '.join(sorted(about_folders))}: of folders, not of files to move")
        check(bool(self.fix_kinds) or self.fix == "none", "fix_kinds is empty, fix would do nothing: name some")


def is_plain_name(name: str) -> bool:
    """Whether a name is that of a folder, no path."""
    return bool(name) and name not in (".", "..") and not set(name) & set("/\\")
