"""How a command ends when it cannot do what it was asked to."""


class Failure(Exception):
    """Something that the user has to know; the text is the whole message and needs no traceback."""

    def __init__(self, message, status=1):
        super().__init__(message)
        self.status = status
