"""What the vault tells about itself: series declared as data, the instruments that move them, log lines."""
