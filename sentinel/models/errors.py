"""What is wrong with a stored model, in words."""

from __future__ import annotations


class ModelError(ValueError):
    """A model cannot be used: it is missing, cut, altered, or was made by another version. The message says what, where and what was expected."""
