"""Installs Hearline on a machine with an Asterisk of its own, and takes it away again without a trace."""
