-- The tables of both peers.
CREATE TABLE log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id varchar(255) NOT NULL,
    session_id varchar(255) NOT NULL,
    UNIQUE (user_id, session_id)
);
CREATE TABLE action (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    log_id bigint NOT NULL REFERENCES log,
    time timestamptz NOT NULL,
    type varchar(8) NOT NULL,
    properties jsonb NOT NULL
);
CREATE INDEX action_by_log ON action (log_id, time);
