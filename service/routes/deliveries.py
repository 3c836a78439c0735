"""Callbacks on the wire: how they are asked for, what is sent to them, and the log of every attempt."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from pipelines.plan import Json
from service.model import CallbackEvent, Delivery
from service.routes.answers import reply
from service.routes.documents import Wire
from service.routes.openapi import blueprint
from service.routes.requests import JobPath, NoQuery
from service.routes.site import site

api = blueprint("deliveries")


class CallbackRequest(Wire):
    """Who is told of a job, and of what; without `events`, of its end however it ends."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(examples=["https://example.com/hooks/haulier"], max_length=2000)
    events: list[CallbackEvent] | None = Field(None, min_length=1)


class WebhookEvent(BaseModel):
    """A message to a callback: a CloudEvent 1.0 in JSON. `source` is the job, `data` says what it came to."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: CallbackEvent
    subject: str
    time: datetime
    datacontenttype: Literal["application/json"]
    data: dict[str, Any]


class AttemptDocument(Wire):
    """`status` is that of the receiver's answer; null: there was none, and `detail` says why."""

    at: datetime
    status: int | None
    seconds: float
    detail: str | None


class DeliveryDocument(Wire):
    """`id` is the `webhook-id` of the message."""

    id: str
    event: CallbackEvent
    url: str
    status: Literal["pending", "delivered", "given-up"]
    created: datetime
    delivered: datetime | None
    next_attempt: datetime | None
    attempts: list[AttemptDocument]


class DeliveryList(Wire):
    deliveries: list[DeliveryDocument]


@api.get("/api/jobs/<id>/deliveries", responses={"200": DeliveryList})
def job_deliveries(path: JobPath, query: NoQuery) -> Response:
    """The webhooks of a job: the newest 200 messages, oldest first, with every attempt to send them"""
    return reply({"deliveries": [_document(each) for each in site().jobs.deliveries(path.id)]})


def _document(delivery: Delivery) -> Json:
    ended = "delivered" if delivery.delivered else "given-up"
    return DeliveryDocument(
        id=delivery.message_id,
        event=delivery.event,
        url=delivery.url,
        status="pending" if delivery.due else ended,
        created=delivery.created,
        delivered=delivery.delivered,
        next_attempt=delivery.due,
        attempts=[AttemptDocument(**entry) for entry in delivery.log],
    ).to_json()
