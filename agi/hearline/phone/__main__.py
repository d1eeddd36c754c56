"""`python -m hearline.phone SCRIPT.json`: runs a script of softphones, and prints events as JSON lines on stdout."""

from __future__ import annotations

import argparse
import faulthandler
import json
import signal
import sys

from hearline.phone import script as scripts


def _print(event: dict) -> None:
    print(json.dumps(event), flush=True)


def main() -> int:
    faulthandler.enable()  # pjsua2 is C++
    parser = argparse.ArgumentParser(prog="python -m hearline.phone", description=__doc__)
    parser.add_argument("script", help="JSON file; with --held, '-' reads the first line of stdin")
    parser.add_argument("--held", action="store_true", help="run one process, which waits for commands on stdin")
    parser.add_argument("--log", type=int, default=0, metavar="0-6", help="pjsip's own log on stderr")
    options = parser.parse_args()
    try:
        if options.held and options.script == "-":
            script = scripts.parse(json.loads(sys.stdin.buffer.raw.readline()))
        else:
            script = scripts.load(options.script)
        parts = scripts.split(script)
    except (scripts.ScriptError, json.JSONDecodeError) as error:
        print(f"hearline.phone: {error}", file=sys.stderr)
        return 2
    if len(parts) == 1:
        from hearline.phone import softphone

        return softphone.run(script, held=options.held, log_level=options.log)
    if options.held:
        print(f"hearline.phone: --held allows at most {scripts.CALLS_PER_PROCESS} phones", file=sys.stderr)
        return 2

    from hearline.phone.run import Phones

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        with Phones(script, on_event=_print) as phones:
            phones.wait()
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
