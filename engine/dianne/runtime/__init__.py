"""Deployed networks: instances that belong to a workspace, what goes into them and what comes out."""
