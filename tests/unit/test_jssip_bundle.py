"""The page's JsSIP is what tools/jssip builds, byte for byte."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[2]
TOOL = REPO / "tools" / "jssip"
BUNDLE = REPO / "agi" / "hearline" / "web" / "static" / "vendor" / "jssip.js"
NO_REGISTRY = re.compile(
    r"\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|E401|E403|E404|E5\d\d)\b"
)
LIMIT_S = 120


def npm(*arguments: str, where: Path, **environment: str) -> None:
    """Run npm; skip the test if there is no npm, or if it reaches no registry."""
    tool = shutil.which("npm")
    if tool is None:
        pytest.skip("the bundle was not rebuilt: there is no npm")
    how: dict[str, Any] = {"env": {**os.environ, **environment}, "capture_output": True, "text": True}
    try:
        done = subprocess.run([tool, *arguments], cwd=where, timeout=LIMIT_S, **how)
    except subprocess.TimeoutExpired:
        pytest.skip(f"the bundle was not rebuilt: npm {arguments[0]} took longer than {LIMIT_S} s")
    unreached = NO_REGISTRY.search(done.stderr)
    if done.returncode and unreached:
        pytest.skip(f"the bundle was not rebuilt: npm reached no registry ({unreached[0]})")
    assert done.returncode == 0, done.stderr


def test_rebuilt_it_is_the_same_byte_for_byte(tmp_path):
    work = tmp_path / "jssip"
    shutil.copytree(TOOL, work, ignore=shutil.ignore_patterns("node_modules"))
    npm("ci", where=work)
    npm("run", "build", where=work, OUT=str(tmp_path / "jssip.js"))
    assert (tmp_path / "jssip.js").read_bytes() == BUNDLE.read_bytes()


def test_its_head_names_the_locked_versions_and_the_licence():
    packages = json.loads((TOOL / "package-lock.json").read_text("utf-8"))["packages"]
    head = BUNDLE.read_text("utf-8").split("*/")[0]
    for package, shown in (("jssip", "JsSIP"), ("events", "events"), ("sdp-transform", "sdp-transform")):
        assert f"{shown} {packages[f'node_modules/{package}']['version']} " in head
    assert "Permission is hereby granted, free of charge" in head


def test_the_lock_names_no_registry():
    assert "resolved" not in (TOOL / "package-lock.json").read_text("utf-8")


def test_it_logs_no_messages():
    """JsSIP logs through the package `debug`, which a setting in the browser's storage would switch on."""
    assert "localStorage" not in BUNDLE.read_text("utf-8")
