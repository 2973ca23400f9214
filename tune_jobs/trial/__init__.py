"""One trial from start to finish: sessions, checkpoints, provenance. No Ray."""
