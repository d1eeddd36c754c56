"""``kill -9`` of those who append and of the one who takes in, at random moments: nothing that was acknowledged is
lost, nothing is kept or counted twice."""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from collections import defaultdict
from pathlib import Path

import pytest
from killed_processes import CALL, TALK_MS, append_calls, count_facts, take_in
from sqlalchemy import func, select

from hearline.store.ledger.database import Ledger
from hearline.store.ledger.intake import Intake
from hearline.store.ledger.tables import contact, event, segment, stint, stream

ROUNDS = 20
WRITERS = "door", "assist"
LONGEST_S = 0.15  # that a process lives after its first sign
FIRST_S = 20.0
IMPORTED = (  # once for all processes
    "hearline.figures.counting",
    "hearline.store.ledger.intake",
    "hearline.store.spool.appender",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
)


@pytest.fixture(scope="module")
def spawn():
    """Starts a process; returns it and the end of its pipe."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    alive = []

    def start(run, *arguments: object):
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=run, args=(*arguments, there), daemon=True)
        process.start()
        there.close()
        alive.append(process)
        return process, here

    yield start
    for process in alive:
        process.kill()


def kill(process) -> None:
    assert process.is_alive(), "it has ended by itself"
    process.kill()
    process.join()


def all_of(pipe) -> list[int]:
    found = []
    while True:
        try:
            found.append(pipe.recv())
        except EOFError:
            return found


def test_twenty_times_killed(url, tmp_path, spawn):
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    chance = random.Random(seed)
    ledger = Ledger(url)
    ledger.migrate()
    ledger.close()
    folder = tmp_path / "spool"
    acknowledged: dict[tuple[str, int], list[int]] = {}
    for round_ in range(ROUNDS):
        writers = {name: spawn(append_calls, folder / name, round_) for name in WRITERS}
        taker, began = spawn(take_in, folder, url, chance.choice([3, 50, 500]))
        assert began.poll(FIRST_S) and all(pipe.poll(FIRST_S) for _, pipe in writers.values())
        victims = [(taker, None), *writers.values()]
        chance.shuffle(victims)
        heard = {}
        for victim, pipe in victims:
            time.sleep(chance.uniform(0, LONGEST_S / 3))
            if pipe and chance.random() < 0.5:  # at the moment of an acknowledgement
                heard[pipe] = []
                while pipe.poll():
                    heard[pipe].append(pipe.recv())
                pipe.poll(LONGEST_S)
            kill(victim)
        for name, (_, pipe) in writers.items():
            acknowledged[name, round_] = heard.get(pipe, []) + all_of(pipe)
    _judge(url, folder, acknowledged)


def _judge(url: str, folder: Path, acknowledged: dict[tuple[str, int], list[int]]) -> None:
    ledger = Ledger(url)
    intake = Intake(folder, ledger, count_facts())
    left = intake.backlog_bytes()
    while intake.take_in():
        pass
    intake.clean()
    assert [one for name in WRITERS for one in (folder / name).iterdir()] == []
    with ledger.transaction() as connection:
        rows = connection.execute(
            select(stream.c.writer, event.c.call, event.c.body).join(stream, stream.c.id == event.c.stream)
        ).all()
        assert connection.scalar(select(func.sum(stream.c.missing))) == 0
        kept = defaultdict(list)
        events_of: dict[str, int] = defaultdict(int)
        for writer, call, body in rows:
            said = json.loads(body)
            kept[writer, said["round"]].append(said["n"])
            events_of[call] += 1
        lost = {key: sorted(set(numbers) - set(kept[key])) for key, numbers in acknowledged.items()}
        assert not any(lost.values()), lost
        for key, numbers in kept.items():
            assert sorted(numbers) == list(range(len(numbers))), f"doubled, or a gap: {key}"
        assert connection.scalar(select(func.count()).select_from(contact)) == len(events_of)
        assert connection.scalar(select(func.count()).select_from(stint)) == len(events_of)
        whole = {call for call, many in events_of.items() if many == len(CALL)}
        talk = select(segment.c.call, func.sum(segment.c.talk)).group_by(segment.c.call)
        talks = dict(connection.execute(talk).all())
        assert {call: talks[call] for call in whole} == dict.fromkeys(whole, TALK_MS)
    many = sum(map(len, acknowledged.values()))
    print(f"{many} acknowledged, {len(rows)} kept, {len(whole)} whole calls; {left} bytes were left in the spools")
    assert many > ROUNDS * 10
    intake.close()
    ledger.close()
