"""The checks, one module for each subject. Each module has a `SUBJECT`."""
