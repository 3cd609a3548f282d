"""Errors that do not travel between processes as they are."""


class Unreadable(Exception):
    """Can be pickled, but not read again: it wants two arguments."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} in {where}")


def fail() -> None:
    raise Unreadable("a bug", "a helper")
