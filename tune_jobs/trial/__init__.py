"""One trial from start to finish: sessions, checkpoints, what is said of where it ran. No Ray."""
