"""The settings of the data tools: what they refuse, and in which words."""

from pathlib import Path
from typing import Any

import pytest

from convlstm.config import AugmentConfig
from convlstm.config.toolkits import (
    CHANGES,
    ImageToStaticFramesConfig,
    SequenceAugmentationConfig,
    VideoFrameExtractorConfig,
)
from convlstm.config_file import config_from_dict
from convlstm.errors import ConfigError

pytestmark = pytest.mark.pure

EXTRACT, FILM, AUGMENT = VideoFrameExtractorConfig, ImageToStaticFramesConfig, SequenceAugmentationConfig
NO_CHANGE = dict.fromkeys(CHANGES, 0.0)


@pytest.mark.parametrize("kind", [EXTRACT, FILM, AUGMENT])
def test_source_and_output_are_needed(kind: type[Any]) -> None:
    with pytest.raises(ConfigError, match=r"^no source and no output given: for example --source "):
        kind()
    with pytest.raises(ConfigError, match=r"^no output given"):
        kind(source=("x",))
    with pytest.raises(ConfigError, match=r"^no source given"):
        kind(source=(), output=Path("out"))
    assert kind(source=("x",), output=Path("out")).workers is None


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (EXTRACT, {"fps": 5, "every": 2}, "fps and every are both given: choose one"),
        (EXTRACT, {"fps": 0}, "fps must be greater than 0, got 0.0"),
        (EXTRACT, {"every": 0}, "every must be greater than 0, got 0"),
        (EXTRACT, {"fit": "crop"}, "fit crop needs a size: give one"),
        (EXTRACT, {"size": [0, 5]}, r"size must be of sides 1 to 16384, got \(0, 5\)"),
        (EXTRACT, {"size": [5, 16385]}, "size must be of sides 1 to 16384"),
        (EXTRACT, {"quality": 80}, "quality 80 is for jpg, not for png: add --format jpg"),
        (EXTRACT, {"quality": 0, "format": "jpg"}, r"quality must lie in \[1, 100\], got 0"),
        (EXTRACT, {"start": "1:30", "end": "90"}, "end must lie after start, got 1:30 to 90"),
        (EXTRACT, {"end": "0"}, "end must lie after start, got 0 to 0"),
        (EXTRACT, {"start": "soon"}, 'start must be seconds or h:mm:ss, such as 90 or 0:01:30, got "soon"'),
        (EXTRACT, {"workers": 0}, "workers must be greater than 0, got 0"),
        (EXTRACT, {"format": "gif"}, "format must be one of png, jpg, got 'gif'"),
        (FILM, {"num_frames": 1}, "num_frames must be at least 2, got 1"),
        (FILM, {"fps": 0}, "fps must be greater than 0, got 0"),
        (FILM, {"seed": -1}, "seed must not be negative, got -1"),
        (FILM, {"shake": -0.1}, r"shake must lie in \[0, 4\], got -0.1"),
        (FILM, {"noise": 4.1}, r"noise must lie in \[0, 4\], got 4.1"),
        (FILM, {"exact": True, "noise": 2}, "exact makes identical copies, noise 2.0 would do nothing"),
        (FILM, {"fit": "stretch"}, "fit stretch needs a size"),
        (AUGMENT, {"copies": 0}, "copies must be greater than 0, got 0"),
        (AUGMENT, {"crop": 1.1}, r"crop must lie in \[0, 1\], got 1.1"),
        (AUGMENT, NO_CHANGE, "all probabilities are 0: copies would be as the original"),
        (AUGMENT, {"splits": []}, "splits is empty: name at least one, such as train"),
        (AUGMENT, {"splits": ["train", "dev"]}, "splits must be of train, val and test, got dev"),
        (AUGMENT, {"fliip": 1}, 'unknown setting "fliip": did you mean "flip"?'),
    ],
)
def test_what_is_refused(kind: type[Any], values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_from_dict(kind, {"source": ["x"], "output": "out", **values}, origin="test")


def test_times_are_seconds() -> None:
    config = EXTRACT(source=("x",), output=Path("out"), start="1:30", end="0:02:00")
    assert (config.start_seconds, config.end_seconds) == (90.0, 120.0)
    config = EXTRACT(source=("x",), output=Path("out"))
    assert (config.start_seconds, config.end_seconds) == (None, None)


def test_training_knows_all_changes_but_rotation() -> None:
    config = AUGMENT(source=("x",), output=Path("out"), flip=0.25, reverse=1.0, rotation=1.0)
    known = config.augment_config()
    assert (known.aug_flip, known.aug_reverse, known.augment) == (0.25, 1.0, True)
    in_training_alone = {"augment", "aug_shake", "aug_clouds", "aug_lights", "aug_exposure", "aug_actors"}
    assert {f"aug_{name}" for name in CHANGES} - {"aug_rotation"} == set(
        AugmentConfig.__dataclass_fields__
    ) - in_training_alone
