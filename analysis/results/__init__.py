"""What a results folder says: its frames, cells, summaries, comparisons and answers to SQL."""
