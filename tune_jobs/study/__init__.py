"""Studies: the points to train, in phases or a search, with their recipe; read and checked."""
