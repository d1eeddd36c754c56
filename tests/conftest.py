"""Plugins for all tests: the watch for times when the host took CPUs away, second looks, and how long each part
took."""

pytest_plugins = ["second_look", "how_long"]
