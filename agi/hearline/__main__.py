"""What `hearline` and `python -m hearline` start."""

import gc


def main() -> None:
    # Importing makes a hundred thousand objects and no garbage; to search them in between takes a fifth of the start.
    gc.set_threshold(100_000, 10, 10)
    from hearline.cli.app import main as command

    command()


if __name__ == "__main__":
    main()
