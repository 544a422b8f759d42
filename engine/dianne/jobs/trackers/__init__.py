"""Where metrics can go besides the database: a module for each tracker, imported by their process alone."""
