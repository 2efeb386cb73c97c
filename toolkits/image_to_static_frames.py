"""Turn photographs into sequences in which nothing happens: the same as `convlstm data image_to_static_frames`.

python toolkits/image_to_static_frames.py --source photos --output data/static --size 640 640
python toolkits/image_to_static_frames.py --source "photos/*.jpg" --output data/static --noise 2 --shake 0
python toolkits/image_to_static_frames.py --source lamp.jpg --output data/static --num_frames 100 --fps 30
"""

import sys

from convlstm.cli import main

if __name__ == "__main__":
    sys.exit(main(["data", "image_to_static_frames", *sys.argv[1:]]))
