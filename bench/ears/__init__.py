"""How well does the detector hear? A labelled set of call audio, and the figures measured with it.

fetch → recordings → test set → run → measure, or train: one module each. The sounds come from public packages
(sources.yaml); they are kept in Hearline's cache and never committed.
"""
