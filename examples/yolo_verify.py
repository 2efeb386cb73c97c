"""A YOLO detector whose boxes are verified: what does not really change, such as a photo of a fire, is thrown out.

    pip install convlstm ultralytics
    python examples/yolo_verify.py --weights fire.pt --source clip.mp4
    python examples/yolo_verify.py --weights fire.pt --source 0          # a camera

Prints a line for each box of each frame.
"""

import argparse

import convlstm


def main() -> None:
    """Detect, track and verify."""
    from ultralytics import YOLO  # AGPL-3.0: only this script needs it

    parser = argparse.ArgumentParser(description="Verify the boxes of a YOLO model.")
    parser.add_argument("--weights", required=True, help="a YOLO model, .pt")
    parser.add_argument("--source", required=True, help="video file, camera number or stream")
    arguments = parser.parse_args()

    model = YOLO(arguments.weights)
    verifier = convlstm.Verifier(color="bgr")  # ultralytics reads frames as OpenCV does
    results = model.track(arguments.source, stream=True, persist=True, verbose=False)
    for number, result in enumerate(results):
        for verdict in verifier(result.orig_img, result):
            x1, y1, x2, y2 = (round(side) for side in verdict.box)
            shown = "" if verdict.probability is None else f" {verdict.probability:.2f}"
            print(f"frame {number}: track {verdict.track}, box {x1} {y1} {x2} {y2}: {verdict.decision}{shown}")


if __name__ == "__main__":
    main()
