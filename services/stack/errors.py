"""Errors that the stack reports to people: always one sentence that names what failed, where, and what was expected."""


class StackError(Exception):
    """A failure of the embedded stack that the command line prints as one sentence, with exit code 1."""
