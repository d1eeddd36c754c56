"""Both databases of the ledger: SQLite, and a PostgreSQL that the tests start."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
from postgres_server import NoPostgres, PostgresServer

from hearline.store.ledger.database import Ledger, sqlite_url

_numbers = count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    try:
        server = PostgresServer()
        server.start()
    except NoPostgres as why:
        pytest.skip(f"no PostgreSQL: {why}")
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path) -> Iterator[str]:
    """The URL of an empty database."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path / "ledger" / "ledger.sqlite")
        return
    server = request.getfixturevalue("postgres")
    name = f"ledger_{next(_numbers)}"
    server.execute(f"CREATE DATABASE {name}")
    yield server.url(name)
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def ledger(url) -> Iterator[Ledger]:
    """The database, with its tables."""
    ledger = Ledger(url)
    ledger.migrate()
    yield ledger
    ledger.close()
