"""Settings of the seven tools that prepare data; the docstring of each is the help of its command."""

from dataclasses import dataclass

from convlstm.config.fields import check, setting


@dataclass(frozen=True)
class ToolConfig:
    """What every tool has."""

    workers: int | None = setting(None, "Processes that work side by side; default: one for each core.")
    dry_run: bool = setting(False, "Only say what would be done.")
    overwrite: bool = setting(False, "Do all of it again; default: only what is missing.")

    def __post_init__(self) -> None:
        check(self.workers is None or self.workers > 0, f"workers must be greater than 0, got {self.workers}")
