"""Jobs: from what a user names to a checked, runnable job, and its run."""
