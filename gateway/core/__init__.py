"""Pure nouns and decisions: no I/O, no clock, no task. Imports only errors and numpy."""
