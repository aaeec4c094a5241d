"""Where raw data comes from; each source says when a row became known."""
