"""SQL of the directory. One statement a function."""
