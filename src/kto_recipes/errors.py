"""How this project says that something is wrong."""


class UserError(Exception):
    """A mistake a person can mend: one message that says where, what, and what to do.

    Scripts print it without a traceback and exit with code 2 (see `cli.run`).
    """
