"""The use cases of rotation: its policies, what is under them, and the work that falls due."""
