"""Softphones of the tests and the demo, the judge of what a softphone heard, and the picture of a call.

`softphone` needs pjsua2, which is GPL: it runs in a process of its own (`python -m hearline.phone
SCRIPT.json`) and nothing else imports it. Tests and the demo start it through `run.Phones`.
"""
