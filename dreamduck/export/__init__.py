"""The world model as ONNX graphs and as one HTML file."""
