"""Settings: how they are read, checked and written down. Imports nothing else of ours."""
