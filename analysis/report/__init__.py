"""The HTML report, and tables as Markdown, LaTeX and CSV."""
