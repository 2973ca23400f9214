"""The Parquet tables of a results folder: their columns, and how they are read and written."""
