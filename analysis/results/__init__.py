"""Statistics of a results folder: frames, cells, summaries, comparisons, answers to SQL."""
