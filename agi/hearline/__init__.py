"""Hearline: an IVR and agent-assist plugin for Asterisk."""

__version__ = "0.1.0"
