"""Results for people: one HTML page, and tables as text."""
