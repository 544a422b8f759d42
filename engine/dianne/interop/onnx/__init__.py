"""Networks as ONNX files, both ways; `import onnx` in these modules is the package of that name."""
