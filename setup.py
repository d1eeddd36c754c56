"""Adds flows, sounds and Asterisk's templates to the wheel, which pyproject.toml cannot do.

A checkout, and an editable install of it, use them where they are (`core/settings.py`).
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = ("ivr_flows", "sounds", "docker/asterisk")


class BuildWithData(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for folder in SHIPPED:
            into = Path(self.build_lib) / "hearline" / "shipped" / folder
            shutil.copytree(folder, into, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*~", ".*", "#*"))


setup(cmdclass={"build_py": BuildWithData})
