"""What is written down of trials, studies, searches and evaluations. No file, no torch, no Ray."""
