"""Measurements that take too long, or need too many downloads, to be tests."""
