"""The ledger: the database of everything that has happened in calls."""
