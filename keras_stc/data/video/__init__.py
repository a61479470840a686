"""From one file to its frames, by number."""
