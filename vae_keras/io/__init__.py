"""Reading and writing: your own images, saved models, ONNX files."""
