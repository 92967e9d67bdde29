"""Lists written as text with commas, as the command line and papermill give them."""

from __future__ import annotations


def listed(text: str | None, kind: type = str, what: str = "net") -> list | None:
    """The parts of a text with commas, each made a `kind`, and None of None; ValueError, saying `what` they should be,
    where one cannot be.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    try:
        return [kind(part) for part in parts]
    except ValueError as error:
        right = "whole numbers with commas, such as 0,1,2" if kind is int else "numbers with commas, such as 0.6,0.8"
        raise ValueError(f"{text!r} is no list of {what}s: write {right}.") from error
