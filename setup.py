"""Adds flows, sounds and Asterisk's templates to the wheel, which pyproject.toml cannot do.

A checkout, and an editable install of it, use them where they are (`core/settings.py`).
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = ("ivr_flows", "sounds", "docker/asterisk")
OF_A_CHECKOUT = ("compose.yaml", "compose.bridge.yaml", "services.yaml")  # they build an image from the repository


class BuildWithData(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        left_out = shutil.ignore_patterns("*~", ".*", "#*", *OF_A_CHECKOUT)
        for folder in SHIPPED:
            into = Path(self.build_lib) / "hearline" / "shipped" / folder
            shutil.copytree(folder, into, dirs_exist_ok=True, ignore=left_out)


setup(cmdclass={"build_py": BuildWithData})
