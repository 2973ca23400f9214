"""Studies: which points, in which phases or searches, trained how; read and checked."""
