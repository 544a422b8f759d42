"""Datasets: descriptors in YAML, files found or fetched, tensors, ranges and the drawing of batches."""
