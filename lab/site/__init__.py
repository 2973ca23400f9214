"""The documentation site: what MkDocs is told beside its settings, and the code blocks in it."""
