"""Strategies that ship with dianne, one file each; written as any user would write theirs."""
