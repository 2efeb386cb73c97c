"""YOLO models behind one protocol: weights.pt through ultralytics, weights.onnx through ONNX Runtime alone."""
