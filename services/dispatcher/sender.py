"""Picks the way to a receiver by its type, with its settings out of the configuration in force."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from services.dispatcher import apprise_out, incident, mail, pagerduty, slack, teams, webhook
from services.dispatcher.errors import SendError
from services.dispatcher.incident_book import IncidentBook
from services.dispatcher.notification import Notification
from services.dispatcher.settings import (
    AppriseSettings,
    EmailSettings,
    IncidentSettings,
    PagerDutySettings,
    Settings,
    SlackSettings,
    TeamsSettings,
    WebhookSettings,
    definition_action,
    receiver_settings,
)

ConfigView = Callable[[], tuple[int, dict[str, Any]]]
"""Version and content of the configuration in force."""


class Sender:
    """Sends a notification to the receiver that it names."""

    def __init__(self, config: ConfigView, http: httpx.AsyncClient, incidents: IncidentBook | None = None) -> None:
        self._config = config
        self._incidents = incidents
        self._http = http

    async def __call__(self, notification: Notification) -> str | None:
        """Returns a note or None; raises SendError, whose text holds no secret of the receiver."""
        version, config = self._config()
        settings = receiver_settings(config, notification.receiver, version)
        try:
            return await self._send(settings, notification)
        except SendError as error:
            # Receivers and libraries may repeat the address or a header in their answer.
            reason = str(error)
            for secret in filter(None, settings.secrets()):
                reason = reason.replace(secret, "***")
            raise SendError(reason, retryable=error.retryable, retry_after_s=error.retry_after_s) from None

    async def _send(self, settings: Settings, notification: Notification) -> str | None:
        match settings:
            case WebhookSettings():
                return await webhook.send(self._http, settings, notification)
            case EmailSettings():
                return await mail.send(settings, notification)
            case SlackSettings():
                return await slack.send(self._http, settings, notification)
            case PagerDutySettings():
                return await pagerduty.send(self._http, settings, notification)
            case TeamsSettings():
                return await teams.send(self._http, settings, notification)
            case IncidentSettings():
                if self._incidents is None:
                    raise SendError("incidents are kept in Postgres, which was not given", retryable=False)
                definition = notification.definition_id or notification.common_labels.get("alert_definition", "")
                action = definition_action(self._config()[1], definition, "incident")
                return await incident.send(self._http, settings, notification, self._incidents, action)
            case AppriseSettings():
                return await apprise_out.send(settings, notification)
