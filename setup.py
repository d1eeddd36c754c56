"""What pyproject.toml cannot say: a wheel carries flows, sounds and Asterisk's templates beside the code.

In a checkout, and in an editable install of it, they are used where they lie (`core/settings.py`).
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
