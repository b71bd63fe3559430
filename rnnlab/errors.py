"""What can go wrong, as a tree. Every message says what was required, what was found and what to do.

    RnnlabError
    ├── SpecError       a spec, or a value in one, is not allowed
    ├── DataError       a person's data file is missing, empty, ragged or spoilt
    └── PlaceError      a folder or a database cannot be made, read or written

These are the user's mistakes: the command line prints their text and leaves with code 2. Anything else
that escapes is a bug and keeps its traceback.
"""


class RnnlabError(ValueError):
    """A user's mistake, told in one message."""


class SpecError(RnnlabError):
    """A spec, or a value in one, is not allowed."""


class DataError(RnnlabError):
    """A person's data file is missing, empty, ragged or spoilt."""


class PlaceError(RnnlabError):
    """A folder or a database cannot be made, read or written."""
