"""Measurements that are too long, or need too much that is fetched, to be tests."""
