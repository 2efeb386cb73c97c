"""Turn videos into folders of numbered frames: the same as `convlstm data video_frame_extractor`.

python toolkits/video_frame_extractor.py --source videos --output data/dynamic
python toolkits/video_frame_extractor.py --source "videos/*.mp4" --output data/dynamic --fps 10 --size 640 640
python toolkits/video_frame_extractor.py --source night.mp4 --output data/static --start 0:10:00 --end 0:11:30 --every 5
"""

import sys

from convlstm.cli import main

if __name__ == "__main__":
    sys.exit(main(["data", "video_frame_extractor", *sys.argv[1:]]))
