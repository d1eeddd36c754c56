"""What all tests share: the watch that tells when the host took CPUs away, what follows from that, and how long it all
took."""

pytest_plugins = ["second_look", "how_long"]
