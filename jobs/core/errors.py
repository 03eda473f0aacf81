"""What can go wrong on the producer's side and in what both sides share.

ChartqError                  one sentence for the user, saying what to do
├── SettingsError            a variable holds something unusable; names it and its value
├── InputError               a path, prompt, parameter or id that can't be used as given
│   ├── ImageError           this file is not an image that can be asked about
│   ├── SchemaError          this JSON schema can't be used
│   └── UnknownIdError       no such batch or job
├── StoreError               the results store can't be reached, is full, or is of a newer schema
├── QueueError               Redis can't be reached or refuses to work
├── InstallationError        something that should have come with the installation is missing
└── OutOfMemoryError         this machine, or this process, has too little memory for it
"""


class ChartqError(Exception):
    """Base of all errors that chartq raises on purpose; `str()` of it is the message for the user."""


class SettingsError(ChartqError):
    """A variable (or a line of `.env`) holds something unusable."""


class InputError(ChartqError):
    """A path, prompt, parameter or id that can't be used as given."""


class ImageError(InputError):
    """This file is not an image that can be asked about."""


class SchemaError(InputError):
    """A JSON schema that can't be used: unreadable, not valid, or with parts that chartq doesn't check."""


class UnknownIdError(InputError):
    """No batch and no job has this id."""


class StoreError(ChartqError):
    """The results store can't be reached, is full, or was written by a newer chartq."""


class QueueError(ChartqError):
    """Redis can't be reached, or refuses to work."""


class InstallationError(ChartqError):
    """Something that should have come with the installation is missing."""


class OutOfMemoryError(ChartqError, MemoryError):
    """This process has too little memory for it; with more, or at another moment, it works."""
