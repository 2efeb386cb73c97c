"""Settings of what makes and prepares data sets."""

from dataclasses import dataclass
from pathlib import Path

from convlstm.config.fields import check, check_not_negative, check_positive, setting


@dataclass(frozen=True)
class SynthesizeConfig:
    """A synthetic data set."""

    output: Path = setting(Path("data/synthetic"), "New folder for the data set.")
    num_train: int = setting(200, "Synthetic sequences for training, half of them dynamic; 0, or at least 2.")
    num_val: int = setting(40, "The same for validation.")
    num_test: int = setting(40, "The same for tests.")
    num_frames: int = setting(40, "Frames per sequence.")
    size: tuple[int, int] = setting((320, 320), "Height and width of the frames, at least 64 each.")
    backgrounds: Path | None = setting(
        None, "Folder of images and videos that half of the scenes are parts of; default: all scenes are painted."
    )
    recordings: Path | None = setting(None, "Folder of videos by fixed cameras, to cut num_recordings sequences from.")
    num_recordings: int = setting(0, "Training sequences cut out of recordings, besides num_train; masks are found.")
    kinds: tuple[str, ...] = setting(
        (), "Kinds to make, in turn, what is named twice twice as often; default: all but passing."
    )
    severity: float = setting(1.0, "How much light, noise, shake and compression spoil the frames, 0 to 1.")
    min_severity: float | None = setting(
        None, "Each sequence draws its severity between this and `severity`; default: all have `severity`."
    )
    infrared: float = setting(0.0, "Probability of a sequence as an infrared camera at night shows it, 0 to 1.")
    fps: float = setting(25.0, "Frame rate that the manifest gives.")
    seed: int = setting(0, "Decides every pixel.")
    num_workers: int = setting(2, "Processes that make sequences; 0: none beside the main one.")

    def __post_init__(self) -> None:
        check_positive(self, "fps")
        check_not_negative(self, "seed", "num_workers")
        check(self.seed <= 1 << 40, f"seed must be at most 2**40, got {self.seed}")
