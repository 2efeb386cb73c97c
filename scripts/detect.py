"""Detect: the same as `convlstm detect`.

python scripts/detect.py --source clip.mp4 --weights runs/train/exp/weights/best.pth --save_viz
python scripts/detect.py --source recordings --batch --weights best.pth --output results
"""

import sys

from convlstm.cli import main

if __name__ == "__main__":
    sys.exit(main(["detect", *sys.argv[1:]]))
