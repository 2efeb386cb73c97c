"""What runs the network: torch, onnx, openvino behind one protocol."""
