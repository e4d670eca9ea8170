"""How work on a dead-letter topic fails."""


class DlqError(RuntimeError):
    """The topic cannot be read or written, or a record is not there; the text is one sentence for people."""
