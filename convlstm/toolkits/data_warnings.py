"""What is said of a data set as a whole, before a model learns from it what nobody meant."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from convlstm.toolkits.near_copies import find_near_copies
from convlstm.toolkits.sequence_facts import SequenceFacts
from convlstm.toolkits.shortcuts import Look, find_shortcuts

logger = logging.getLogger(__name__)

_MOST_COPIES = 20


@dataclass(frozen=True)
class ListedSequence:
    """A row of the manifest to be: its path below root, its class, its group, and what was seen of it."""

    folder_name: str
    kind: str
    group: str
    facts: SequenceFacts


def warn_of_data(sequences: Sequence[ListedSequence], *, compare: bool) -> None:
    """Log a line for each shortcut, for a group that holds most sequences, and, with `compare`, for near copies."""
    for line in [*_of_groups(sequences), *find_shortcuts([_look(sequence) for sequence in sequences])]:
        logger.warning("%s", line)
    copies = find_near_copies(
        [sequence.facts.thumbnails for sequence in sequences if compare],
        [sequence.group for sequence in sequences if compare],
    )
    for copy in copies[:_MOST_COPIES]:
        first, second = sequences[copy.first], sequences[copy.second]
        logger.warning(
            "near-identical, but in groups %s and %s: %s and %s: give them one group, or drop one",
            first.group,
            second.group,
            first.folder_name,
            second.folder_name,
        )
    if len(copies) > _MOST_COPIES:
        logger.warning("and %d more near-identical pairs", len(copies) - _MOST_COPIES)


def _of_groups(sequences: Sequence[ListedSequence]) -> list[str]:
    counts = Counter(sequence.group for sequence in sequences)
    (largest, count), *_ = counts.most_common(1)
    if len(sequences) < 4 or count <= len(sequences) / 2:
        return []
    return [
        f"group {largest} holds {count} of {len(sequences)} sequences, and a group is never split: if they are of "
        "several sources, say which by --group_regex or in the group column"
    ]


def _look(sequence: ListedSequence) -> Look:
    facts = sequence.facts
    return Look(
        kind=sequence.kind,
        resolution=f"{facts.width}x{facts.height}",
        format=facts.format,
        fps=facts.fps,
        num_frames=facts.num_frames,
        bytes_per_pixel=facts.bytes_per_pixel,
    )
