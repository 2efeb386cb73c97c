"""`reports/epoch_NNN/report.html`."""

from pathlib import Path

from convlstm.config_file import config_to_dict
from convlstm.evaluation.evaluate import Evaluation
from convlstm.report.training_report import write_report
from convlstm.utils.callbacks.base import Callback, TrainerState


class ReportWriter(Callback):
    """A report every `interval` epochs and after the last one; `latest` is the newest."""

    only_first_process = True

    def __init__(self, folder: Path, interval: int) -> None:
        self.folder = folder
        self.interval = interval
        self.latest: Path | None = None

    def on_epoch_end(self, trainer: TrainerState, row: dict[str, float], evaluation: Evaluation) -> None:
        """Write it when it is due."""
        is_last = trainer.epoch == trainer.config.epochs or trainer.should_stop
        if trainer.epoch % self.interval and not is_last:
            return
        settings = {name: str(value) for name, value in config_to_dict(trainer.config).items()}
        self.latest = write_report(
            self.folder / f"epoch_{trainer.epoch:03d}",
            evaluation,
            trainer.val_data,
            title=f"{trainer.run_folder.name}, epoch {trainer.epoch}",
            subtitle=f"{len(trainer.val_data)} validation windows of {len(trainer.val_data.sequences)} sequences",
            history=trainer.history,
            settings=settings,
        )
