from __future__ import annotations

import select

from django.db import NotSupportedError, OperationalError
from django.db.backends.postgresql import base
from psycopg2.extensions import TRANSACTION_STATUS_INERROR, TRANSACTION_STATUS_UNKNOWN

# https://www.psycopg.org/docs/extensions.html#transaction-status-constants
_BROKEN = (TRANSACTION_STATUS_INERROR, TRANSACTION_STATUS_UNKNOWN)


class DatabaseWrapper(base.DatabaseWrapper):
    def connect(self) -> None:
        """Connect. Raises OperationalError for a server that is too old, each time: Django would complain only once."""
        try:
            super().connect()
        except NotSupportedError as error:
            self.close()
            raise OperationalError(*error.args) from error

    def is_usable(self) -> bool:
        """Return whether the server still holds the other end of the connection.

        Django sends a query before each request; that took a twelfth of the time of a short one. A server that has
        closed the connection, or is about to, has sent something, while one that waits for a query never does.
        """
        if self.connection is None or self.connection.info.transaction_status in _BROKEN:
            return False
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        return not poll.poll(0)
