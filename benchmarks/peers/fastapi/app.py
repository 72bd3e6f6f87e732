"""The routes of the store as a careful build with FastAPI, pydantic and asyncpg: a peer to measure the store against.

It keeps the contract's rules for what may be stored and its form of an answer; it has no keys, idempotency, ETag or
streaming, and its errors are pydantic's own. DATABASE_URL is a database with the tables of ../schema.sql.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from itertools import groupby
from operator import itemgetter
from typing import Annotated, Any, Literal

import asyncpg
import orjson
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

MAX_LOCATION = 2**53 - 1
MAX_PROPERTIES_BYTES = 32 * 1024
WIRE_ZONE = timezone(timedelta(hours=-6))
CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
TIME = f"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T{CLOCK}-06:00$"

Time = Annotated[str, StringConstraints(pattern=TIME)]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00]+$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
Within = Field(strict=True, ge=-MAX_LOCATION, le=MAX_LOCATION)
Location = Annotated[int, Within] | Annotated[float, Within]


@with_config(ConfigDict(extra="allow"))
class ClickProperties(TypedDict):
    locationX: Location
    locationY: Location


@with_config(ConfigDict(extra="allow"))
class ViewProperties(TypedDict):
    viewedId: Text


@with_config(ConfigDict(extra="allow"))
class NavigateProperties(TypedDict):
    pageFrom: Text
    pageTo: Text


class Click(TypedDict):
    time: Time
    type: Literal["CLICK"]
    properties: ClickProperties


class View(TypedDict):
    time: Time
    type: Literal["VIEW"]
    properties: ViewProperties


class Navigate(TypedDict):
    time: Time
    type: Literal["NAVIGATE"]
    properties: NavigateProperties


class Log(TypedDict):
    userId: Identifier
    sessionId: Identifier
    actions: Annotated[list[Annotated[Click | View | Navigate, Field(discriminator="type")]], Field(min_length=1)]


# Typed dicts rather than models, and JSON read by pydantic itself, as its guide to performance says.
BATCH = TypeAdapter(Annotated[list[Log], Field(min_length=1)])

ActionRow = tuple[datetime, str, str]
Batch = dict[tuple[str, str], list[ActionRow]]

# In the order of the batch, in which their ids are dealt.
UPSERT = """
    INSERT INTO log (user_id, session_id) SELECT * FROM unnest($1::text[], $2::text[])
    ON CONFLICT (user_id, session_id) DO UPDATE SET session_id = EXCLUDED.session_id RETURNING id
"""
ACTION_COLUMNS = ("log_id", "time", "type", "properties")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async def keep(connection: asyncpg.Connection) -> None:
        """Leave a connection as it is: nothing here changes its settings, and a reset is another round trip."""

    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=4, max_size=8, reset=keep) as app.state.pool:
        yield


app = FastAPI(lifespan=lifespan, openapi_url=None)


@app.exception_handler(RequestValidationError)
async def refuse(request: Request, error: RequestValidationError) -> Response:
    return _answer({"success": False, "errors": [str(fault["msg"]) for fault in error.errors()]}, 400)


@app.post("/logs/")
@app.post("/logs", include_in_schema=False)
async def store(request: Request) -> Response:
    try:
        batch = _read_batch(await request.body())
        await _append(request.app.state.pool, batch)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        return _answer({"success": False, "errors": faults[:100]}, 400)
    except (ValueError, OverflowError, asyncpg.DataError) as error:
        return _answer({"success": False, "errors": [str(error)]}, 400)
    return _answer({"success": True, "stored": sum(map(len, batch.values())), "duplicates": 0})


def _read_batch(body: bytes) -> Batch:
    batch: Batch = {}
    for log in BATCH.validate_json(body):
        rows = batch.setdefault((log["userId"], log["sessionId"]), [])
        for action in log["actions"]:
            text = orjson.dumps(action["properties"]).decode()
            if len(text) > MAX_PROPERTIES_BYTES // 4 and len(text.encode()) > MAX_PROPERTIES_BYTES:
                raise ValueError("properties is too large")
            rows.append((_instant(action["time"]), action["type"], text))
    return batch


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


async def _append(pool: asyncpg.Pool, batch: Batch, attempts: int = 3) -> None:
    users, sessions = zip(*batch, strict=True)
    try:
        async with pool.acquire() as connection, connection.transaction():
            ids = await connection.fetch(UPSERT, users, sessions)
            records = [
                (row["id"], *action) for row, actions in zip(ids, batch.values(), strict=True) for action in actions
            ]
            await connection.copy_records_to_table("action", columns=ACTION_COLUMNS, records=records)
    except asyncpg.DeadlockDetectedError:
        # Two batches named the same logs in another order.
        if attempts == 1:
            raise
        await _append(pool, batch, attempts - 1)


@app.get("/logs/")
@app.get("/logs", include_in_schema=False)
async def read(
    request: Request,
    user_id: Annotated[Identifier, Query(alias="userId")],
    since: Annotated[Time | None, Query(alias="from")] = None,
    until: Annotated[Time | None, Query(alias="to")] = None,
    types: Annotated[list[str], Query()] = [],  # noqa: B006  FastAPI copies it
) -> Response:
    conditions, values = ["l.user_id = $1"], list[object]([user_id])
    chosen = [name for text in types for name in text.split(",") if name]
    if not set(chosen) <= {"CLICK", "VIEW", "NAVIGATE"}:
        raise HTTPException(400, "types: CLICK, VIEW or NAVIGATE")
    try:
        for condition, value in [
            ("a.time >=", since and _instant(since)),
            ("a.time <=", until and _instant(until)),
            ("a.type = ANY", chosen),
        ]:
            if value:
                values.append(value)
                conditions.append(f"{condition} (${len(values)})")
    except (ValueError, OverflowError) as error:
        raise HTTPException(400, str(error)) from None
    rows = await request.app.state.pool.fetch(
        "SELECT l.id, l.session_id, a.time, a.type, a.properties FROM log l JOIN action a ON a.log_id = l.id"
        f" WHERE {' AND '.join(conditions)} ORDER BY l.id, a.time, a.id",
        *values,
    )
    return _answer(
        [
            {"userId": user_id, "sessionId": session, "actions": [_action(row) for row in group]}
            for (_, session), group in groupby(rows, itemgetter(0, 1))
        ]
    )


def _action(row: asyncpg.Record) -> dict[str, Any]:
    _, _, time, action_type, properties = row
    return {"time": time.astimezone(WIRE_ZONE), "type": action_type, "properties": orjson.Fragment(properties)}


def _answer(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
