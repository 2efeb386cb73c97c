"""`convlstm demo`: synthesise a small data set, detect with the weights that come with the package, fine-tune them."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from convlstm.config import SHIPPED, DetectConfig, TrainConfig
from convlstm.detection import DetectJob
from convlstm.evaluation.evaluate import Evaluation, evaluate
from convlstm.inference.engines.torch import resolve_device
from convlstm.inference.predictor import Predictor
from convlstm.models.checkpoint import Checkpoint, load_checkpoint
from convlstm.progress import Progress
from convlstm.report.training_report import write_report
from convlstm.sources.open import SourcePath
from convlstm.training.first_weights import first_weights
from convlstm.training.run import train
from convlstm.utils.data.dataset import WindowDataset
from convlstm.utils.data.loader import eval_loader
from convlstm.utils.data.manifest import read_manifest
from convlstm.utils.data.sequences import open_sequences
from convlstm.utils.data.split import split_rows
from convlstm.utils.data.synthetic import write_dataset

logger = logging.getLogger(__name__)

SIZE = (224, 224)
NUM_SEQUENCES = {"train": 100, "val": 16, "test": 32}
NUM_FRAMES = 28
SEVERITY = 0.5


@dataclass(frozen=True)
class DemoResult:
    """Figures on the held-out sequences after fine-tuning, those of the shipped weights before, and where to look."""

    sequence_auc: float
    cell_ap: float
    weights: Path
    report: Path
    pictures: Path
    shipped_sequence_auc: float
    shipped_cell_ap: float


def demo_config(output: Path) -> TrainConfig:
    """Settings that learn in minutes on two CPU cores; `training.yaml` has those for real data."""
    return TrainConfig(
        data_root=output / "data",
        project=output / "runs",
        name="demo",
        target_size=SIZE,
        stride=6,
        weights=SHIPPED,
        epochs=3,
        batch_size=8,
        lr=1e-3,
        scheduler="cosine",
        warmup_epochs=0.5,
        positive_weight=2,
        ema_decay=0.98,
        report_interval=3,
        cache="ram",
        num_workers=1,
    )


def run_demo(output: Path) -> DemoResult:
    """Everything from data to report under `output`; data that is there from an earlier demo is used again."""
    config, shipped = first_weights(demo_config(output))
    assert shipped is not None
    if not (config.data_root / config.manifest).exists():
        _synthesise(config)
    held_out = _held_out(config)
    before = _detect(replace(shipped, target_size=config.target_size), held_out, output / "results_shipped")
    logger.info("shipped weights: %s", _figures(before))
    result = train(config)
    pictures = output / "results"
    after = _detect(load_checkpoint(result.best), held_out, pictures)
    logger.info("after fine-tuning: %s", _figures(after))
    report = write_report(
        output / "report",
        after,
        held_out,
        title="ConvLSTM demo: held-out sequences",
        subtitle=f"{len(held_out.sequences)} synthetic sequences that training has not seen; "
        f"shipped weights before fine-tuning: {_figures(before)}",
        settings={
            "weights": str(result.best),
            "training report": str(result.report),
        },
    )
    return DemoResult(
        sequence_auc=after.sequences.auc(),
        cell_ap=after.cells.average_precision(),
        weights=result.best,
        report=report,
        pictures=pictures,
        shipped_sequence_auc=before.sequences.auc(),
        shipped_cell_ap=before.cells.average_precision(),
    )


def _synthesise(config: TrainConfig) -> None:
    total = sum(NUM_SEQUENCES.values())
    logger.info("synthesising %d sequences in %s", total, config.data_root)
    with Progress("synthesising", total, "sequences") as progress:
        write_dataset(
            config.data_root,
            num_train=NUM_SEQUENCES["train"],
            num_val=NUM_SEQUENCES["val"],
            num_test=NUM_SEQUENCES["test"],
            num_frames=NUM_FRAMES,
            size=SIZE,
            fps=config.fps,
            seed=config.seed,
            severity=SEVERITY,
            progress=lambda done, total: progress.advance(),
            num_workers=2,
        )


def _held_out(config: TrainConfig) -> WindowDataset:
    rows = read_manifest(config.data_root, config.manifest, config.classes)
    split = split_rows(rows, val_ratio=config.val_ratio, seed=config.seed)
    sequences, _ = open_sequences(split["test"], config)
    return WindowDataset(sequences, config)


def _detect(weights: Checkpoint, held_out: WindowDataset, output: Path) -> Evaluation:
    """Write result files and pictures to `output`, and compare with the truth."""
    device = resolve_device(held_out.config.device)
    predictor = Predictor(weights, device=held_out.config.device, stride=held_out.config.stride)
    sources = [SourcePath(held_out.config.data_root / s.row.folder_name) for s in held_out.sequences]
    config = DetectConfig(output=output, save_viz=True, save_heatmaps=True)
    DetectJob(predictor, config).run(sources)
    return evaluate(
        weights.build_model().to(device),
        eval_loader(held_out, held_out.config),
        held_out,
        threshold=weights.threshold,
        device=device,
    )


def _figures(evaluation: Evaluation) -> str:
    auc, average_precision = evaluation.sequences.auc(), evaluation.cells.average_precision()
    return f"sequence AUC {auc:.3f}, cell average precision {average_precision:.3f}"
