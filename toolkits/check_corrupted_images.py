"""Find damaged images and broken sequences: the same as `convlstm data check_corrupted_images`.

python toolkits/check_corrupted_images.py --source data
python toolkits/check_corrupted_images.py --source data --fix move
python toolkits/check_corrupted_images.py --undo
"""

import sys

from convlstm.cli import main

if __name__ == "__main__":
    sys.exit(main(["data", "check_corrupted_images", *sys.argv[1:]]))
