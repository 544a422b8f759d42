"""Pictures of jobs, codes and networks: each kind has a module whose `draw` gives a matplotlib Figure."""
