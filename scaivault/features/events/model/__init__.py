"""What is told to whom, and the rules about it that need no I/O."""
