"""Learning: the contract of a strategy, updates, methods and the loop."""
