"""From storages, and from the published export, to the tables of a results folder."""
