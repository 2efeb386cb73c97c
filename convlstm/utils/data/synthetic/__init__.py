"""Synthetic footage with exact masks: still scenes under all nuisances, and the same ones with something moving."""

from convlstm.utils.data.synthetic.sequences import (
    DYNAMIC_KINDS,
    STATIC_KINDS,
    SyntheticSequence,
    synthesize_sequence,
)
from convlstm.utils.data.synthetic.write import write_dataset

__all__ = ["DYNAMIC_KINDS", "STATIC_KINDS", "SyntheticSequence", "synthesize_sequence", "write_dataset"]
