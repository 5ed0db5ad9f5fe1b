"""The words everything else is written in: ids, paths, callers, errors, ports. Standard library only."""
