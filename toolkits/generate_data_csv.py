"""Write data.csv for a folder with class folders: the same as `convlstm data generate_data_csv`.

python toolkits/generate_data_csv.py --root data
python toolkits/generate_data_csv.py --root data --split 0.7 0.2 0.1
python toolkits/generate_data_csv.py --root data --update
"""

import sys

from convlstm.cli import main

if __name__ == "__main__":
    sys.exit(main(["data", "generate_data_csv", *sys.argv[1:]]))
