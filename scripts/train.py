"""Train: the same as `convlstm train`.

python scripts/train.py --config training.yaml
python scripts/train.py --data_root data --epochs 10 --batch_size 16 --lr 0.0001
python scripts/train.py --resume runs/train/exp
"""

import sys

from convlstm.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
