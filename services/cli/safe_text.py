"""Text of unknown origin made fit for a terminal."""

from __future__ import annotations


def safe_text(text: str, *, keep_lines: bool = False) -> str:
    """Escapes what a terminal would obey rather than show (control characters, escape sequences, direction marks);
    `keep_lines` leaves line feeds. Prompts may contain anything."""
    return "".join(
        character
        if character.isprintable() or (keep_lines and character == "\n")
        else character.encode("unicode_escape", "backslashreplace").decode()
        for character in text
    )
