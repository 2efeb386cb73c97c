"""Fine-tuning: weights that training begins from, and the network that they bring along."""

import logging
from collections.abc import Collection
from dataclasses import fields, replace
from typing import Any

from convlstm.config import ModelConfig, TrainConfig
from convlstm.errors import ConfigError
from convlstm.models.checkpoint import Checkpoint, load_checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.shipped import resolve_weights

logger = logging.getLogger(__name__)

HEAD = "final_classifier."


def first_weights(config: TrainConfig, given: Collection[str] = ()) -> tuple[TrainConfig, Checkpoint | None]:
    """The settings, with the network of the weights that they name, and those weights; None where they name none.

    Raises CheckpointError for unusable weights, and as `with_network_of` does.
    """
    if config.weights is None:
        return config, None
    checkpoint = load_checkpoint(resolve_weights(config.weights))
    return with_network_of(config, checkpoint.model, given), checkpoint


def with_network_of(config: TrainConfig, found: ModelConfig, given: Collection[str] = ()) -> TrainConfig:
    """`config` with the network of the weights that it names, which is `found`.

    A setting that differs from its default, or whose name is in `given`, is the user's: other classes stay, and get a
    new head; as many other lags stay, and are learnt anew; another stem and so on cannot be had. Raises ConfigError
    for those, naming both values.
    """
    defaults, taken = TrainConfig(), dict[str, Any]()
    for name in (setting.name for setting in fields(ModelConfig)):
        wanted, value = getattr(config, name), getattr(found, name)
        is_set = name in given or wanted != getattr(defaults, name)
        fits = name == "classes" or (name == "lags" and len(wanted) == len(value)) or wanted == value
        if is_set and not fits:
            raise ConfigError(
                f"{name} is set to {_shown(wanted)}, but {config.weights} was trained with {_shown(value)}: "
                f"leave {name} out, or take other weights"
            )
        if not is_set:
            taken[name] = value
    return replace(config, **taken)


def begin_from(model: TemporalClassifier, checkpoint: Checkpoint, name: str) -> None:
    """Load the weights; where the classes are others, all but the head, which keeps its random start."""
    weights = dict(checkpoint.weights)
    if model.config.classes != checkpoint.model.classes:
        logger.info(
            "%s knows the classes %s: the head for %s begins anew",
            name,
            _shown(checkpoint.model.classes),
            _shown(model.config.classes),
        )
        head = {key: value for key, value in model.state_dict().items() if key.startswith(HEAD)}
        weights.update(head)
    model.load_state_dict(weights)
    config = model.config
    if config.stem == "motion" and config.lags != checkpoint.model.lags:
        learnt, wanted = _shown(checkpoint.model.lags), _shown(config.lags)
        logger.warning("%s was trained with lags %s: with %s it has much to learn anew", name, learnt, wanted)
    network = f"stem {config.stem}"
    if config.stem == "motion":
        network += f", lags {_shown(config.lags)}, differences {config.differences}"
    if config.downsample > 1:
        network += f", downsample {config.downsample}, unhalved {config.unhalved}"
    logger.info("first weights: %s (%s), %s", name, checkpoint.digest[:12], network)


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
