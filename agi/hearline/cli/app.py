"""The command line: `hearline VERB`, with one file per verb.

A verb imports what it needs only when it is called; otherwise `--help`, and all other verbs, would be slower.
"""

from __future__ import annotations

import codecs
import io
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from hearline.cli import (
    agents,
    calendar,
    callers,
    certificate,
    demo,
    dialplan,
    doctor,
    events,
    figures,
    flow,
    hints,
    install,
    serve,
    sounds,
    stack,
)
from hearline.cli.faults import settings_told
from hearline.cli.listen import listen


class FirstStepFirst(TyperGroup):
    """Lists `stack`, a newcomer's first step, before all others; typer puts groups of commands last."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=lambda name: name != "stack")


app = typer.Typer(
    cls=FirstStepFirst,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 100},
    help="""Hearline answers a hotline on Asterisk: it greets, listens, prompts on time and routes to a person.

Begin with `hearline stack up`: a private Asterisk that you can ring from any softphone. `hearline demo`
plays five real calls, to hear and see in `demo-out/`.

蓝智慧热线：接听、倾听、按时提示、转人工。先运行 `hearline stack up`。""",
)
app.command("demo")(demo.demo)
app.add_typer(stack.app, name="stack")
app.command("serve")(serve.serve)
app.command("dialplan")(dialplan.dialplan)
app.command("install")(install.install)
app.command("uninstall")(install.uninstall)
app.command("doctor")(doctor.doctor)
app.add_typer(flow.app, name="flow")
app.add_typer(calendar.app, name="calendar")
app.add_typer(hints.app, name="hints")
app.add_typer(agents.app, name="agents")
app.add_typer(callers.app, name="callers")
app.add_typer(certificate.app, name="certificate")
app.command("listen")(listen)
app.command("figures")(figures.figures)
app.command("events")(events.events)
app.add_typer(sounds.app, name="sounds")


def main() -> None:
    codecs.register_error("json", _as_json_has_it)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a closed stream is None
            stream.reconfigure(errors="json")
    try:
        app()
    except ValueError as error:
        if getattr(error, "title", "") != "Settings":  # the settings come from the environment, for all verbs
            raise
        for told in settings_told(error):
            typer.secho(f"hearline: {told}", fg="red", err=True)
        sys.exit(2)


def _as_json_has_it(error: UnicodeError) -> tuple[str, int]:
    """Write characters that the locale's encoding lacks as JSON escapes, so that `--json` stays valid JSON."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in zip(units[::2], units[1::2])), error.end
