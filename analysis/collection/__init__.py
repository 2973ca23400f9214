"""Fill the tables of a results folder from storages and from the published export."""
