"""From frames to batches of clips."""
