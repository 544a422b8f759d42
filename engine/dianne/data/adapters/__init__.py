"""Adapters: what is done to samples on their way into a batch."""
