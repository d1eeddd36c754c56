"""Fixtures of the docker tests: an engine with the images, and the stack on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from docker_engine import Engine, NoEngine, install
from docker_stack import ASTERISK, BASES, HEARLINE, HOST, STACKS, Stack
from hearline.core.settings import Settings


@pytest.fixture(scope="session")
def engine(tmp_path_factory) -> Iterator[Engine]:
    """An engine with the images of the stack, built from this checkout."""
    try:
        install()
        with Engine() as engine:
            engine.start(network=False)
            for image, suite in BASES.items():
                engine.import_base(image, suite, Settings().cache / "docker-test")
            here = tmp_path_factory.mktemp("build") / "here.yaml"
            here.write_text(
                "services:\n"
                f"  init: &hearline {{build: {{network: host, args: {{DEBIAN: '{HEARLINE}'}}}}}}\n"
                "  hearline: *hearline\n"
                f"  asterisk: {{build: {{network: host, args: {{DEBIAN: '{ASTERISK}'}}}}}}\n"
            )
            engine.compose([HOST, here], "build", timeout=1_200)
            engine.stop()
            engine.start(network=True)
            yield engine
    except NoEngine as why:
        pytest.skip(f"the docker stack is left out, since no Docker Engine can be had: {why}")


@pytest.fixture(scope="module", params=STACKS)
def stack(request, engine, tmp_path_factory) -> Iterator[Stack]:
    """The stack on the host's network, and then the one behind a bridge, up and healthy."""
    file, environment = STACKS[request.param]
    with Stack(engine, file, tmp_path_factory.mktemp("calls"), **environment) as stack:
        yield stack
