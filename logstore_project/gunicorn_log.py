"""gunicorn's own log lines in the format of the store's."""

from __future__ import annotations

from gunicorn.config import Config
from gunicorn.glogging import Logger

from logstore_project.env import LOG_FORMAT
from logstore_project.logging import FORMATTERS, WithoutRequests


class GunicornLogger(Logger):
    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(FORMATTERS[LOG_FORMAT]())
            handler.addFilter(WithoutRequests())
