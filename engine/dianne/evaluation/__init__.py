"""Evaluation: the contract of an evaluation strategy, and the run over a dataset."""
