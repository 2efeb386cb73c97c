"""`convlstm data ...`: the commands that make and prepare data sets.

Modules that decode images are imported inside the commands, so that help appears at once.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import App, Parameter

from convlstm.cli_flags import flags_of
from convlstm.config import SynthesizeConfig
from convlstm.config.toolkits import (
    CheckCorruptedImagesConfig,
    GenerateDataCsvConfig,
    ImageToStaticFramesConfig,
    SequenceAugmentationConfig,
    ToolConfig,
    VideoFrameExtractorConfig,
)
from convlstm.config.yolo_tools import DynamicBboxProcessorConfig, DynamicSegmentProcessorConfig
from convlstm.config_file import load_config
from convlstm.errors import EXIT_DONE, printable

data = App(name="data", help="Makes and prepares data sets.")

TOOLS: dict[str, type[ToolConfig]] = {
    "generate_data_csv": GenerateDataCsvConfig,
    "check_corrupted_images": CheckCorruptedImagesConfig,
    "video_frame_extractor": VideoFrameExtractorConfig,
    "image_to_static_frames": ImageToStaticFramesConfig,
    "sequence_augmentation": SequenceAugmentationConfig,
    "dynamic_segment_processor": DynamicSegmentProcessorConfig,
    "dynamic_bbox_processor": DynamicBboxProcessorConfig,
}
"""Of each tool, by the name of its module in `convlstm.toolkits`, the settings; their docstring is its help."""

if TYPE_CHECKING:
    SynthesizeFlags: TypeAlias = dict[str, Any]
else:
    SynthesizeFlags = flags_of(SynthesizeConfig)


@data.command
def synthesize(
    *,
    config: Annotated[Path | None, Parameter(help="YAML file with settings; flags win over it.")] = None,
    debug: Annotated[bool, Parameter(help="Show tracebacks.", negative=())] = False,
    flags: Annotated[SynthesizeFlags, Parameter(name="*")] = {},  # noqa: B006 never changed
) -> int:
    """Make a data set with exact masks: convlstm data synthesize --output data/synthetic --backgrounds photos."""
    from convlstm.utils.data.synthetic.job import synthesize as run_synthesis

    result = run_synthesis(load_config(SynthesizeConfig, config, flags))
    counts = [f"{number} {split}" for split, number in result.num_by_split.items()]
    types = [f"{number} {name}" for name, number in sorted(result.num_by_type.items())]
    made = f"{result.manifest.parent}: {', '.join(counts)} sequences ({', '.join(types)})"
    print(printable(f"{made}; next: {result.next_command}"))
    return EXIT_DONE


def _add_tool(name: str, kind: type[ToolConfig]) -> None:
    Flags: Any = flags_of(kind)  # noqa: N806 a type

    def command(
        *,
        config: Annotated[Path | None, Parameter(help="YAML file with settings; flags win over it.")] = None,
        debug: Annotated[bool, Parameter(help="Show tracebacks.", negative=())] = False,
        flags: Annotated[Flags, Parameter(name="*")] = {},  # noqa: B006 never changed
    ) -> int:
        result = import_module(f"convlstm.toolkits.{name}").run(load_config(kind, config, flags))
        for line in result.left_out:
            print(printable(f"left out: {line}"), file=sys.stderr)
        for line in f"{result.output}: {result.summary}".split("\n"):
            print(printable(line))
        return int(result.exit_code)

    data.command(command, name=name, help=kind.__doc__)


for _name, _kind in TOOLS.items():
    _add_tool(_name, _kind)
