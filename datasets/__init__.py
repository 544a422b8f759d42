"""Descriptors of datasets that ship with dianne; data files are found or fetched."""
