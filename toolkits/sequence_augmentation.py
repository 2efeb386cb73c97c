"""Make changed copies of sequences: the same as `convlstm data sequence_augmentation`.

python toolkits/sequence_augmentation.py --source data --output data --copies 2
python toolkits/sequence_augmentation.py --source data/dynamic --output more/dynamic --smooth --seed 7
python toolkits/sequence_augmentation.py --source data --output data --flip 1 --crop 0 --rotation 0 --reverse 0
"""

import sys

from convlstm.cli import main

if __name__ == "__main__":
    sys.exit(main(["data", "sequence_augmentation", *sys.argv[1:]]))
