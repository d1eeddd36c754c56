"""What all tests share: the watch that tells when the host took CPUs away, and what follows from that."""

pytest_plugins = ["second_look"]
