"""Keep what lies in the boxes of chosen classes: the same as `convlstm data dynamic_bbox_processor`.

python toolkits/dynamic_bbox_processor.py --source videos --output data/dynamic --weights fire.onnx --classes fire
python toolkits/dynamic_bbox_processor.py --source videos --output data/dynamic --weights fire.onnx --mode crop
python toolkits/dynamic_bbox_processor.py --source posters --output data/static --weights fire.onnx --no-masks
"""

import sys

from convlstm.cli import main

if __name__ == "__main__":
    sys.exit(main(["data", "dynamic_bbox_processor", *sys.argv[1:]]))
