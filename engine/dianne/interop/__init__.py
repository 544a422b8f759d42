"""Networks from elsewhere, and networks for elsewhere: DIANNE, ONNX, torch, packages, hubs."""
