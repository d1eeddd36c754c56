"""Softphones for tests and the demo, analysis of what a softphone heard, and pictures of calls.

`softphone` needs pjsua2, which is GPL, so it runs in its own process (`python -m hearline.phone SCRIPT.json`) and
nothing else imports it. Tests and the demo start it through `run.Phones`.
"""
