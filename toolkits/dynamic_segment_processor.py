"""Keep the pixels of chosen classes and write their masks: the same as `convlstm data dynamic_segment_processor`.

python toolkits/dynamic_segment_processor.py --source videos --output data/dynamic --weights fire-seg.onnx
python toolkits/dynamic_segment_processor.py --source yard.mp4 --output data/dynamic --weights fire-seg.onnx \\
    --classes fire smoke --background blur --max_gap 20
"""

import sys

from convlstm.cli import main

if __name__ == "__main__":
    sys.exit(main(["data", "dynamic_segment_processor", *sys.argv[1:]]))
