-- For the time until the writer of the new tables is there.
CREATE TABLE old_interceptions (
    id             TEXT   NOT NULL PRIMARY KEY,
    caller_key     TEXT   NOT NULL,
    caller_user    TEXT   NOT NULL,
    caller_groups  TEXT   NOT NULL, -- a JSON array of names
    provider       TEXT   NOT NULL,
    dialect        TEXT   NOT NULL,
    model          TEXT   NOT NULL,
    client         TEXT   NOT NULL,
    client_session TEXT,
    injection      TEXT   NOT NULL,
    left_out       TEXT   NOT NULL, -- a JSON array: tool names, each with its reason
    hosted         TEXT   NOT NULL, -- a JSON array of tool types
    started_at     TEXT   NOT NULL,
    ended_at       TEXT,
    outcome        TEXT,            -- NULL while it runs
    status         BIGINT,
    error          TEXT,
    stop_reason    TEXT
);
CREATE INDEX old_interceptions_by_time ON old_interceptions (started_at, id);
CREATE INDEX old_interceptions_by_user ON old_interceptions (caller_user, started_at, id);
CREATE INDEX old_interceptions_open ON old_interceptions (id) WHERE outcome IS NULL;

CREATE TABLE old_prompt_usage (
    interception_id TEXT   NOT NULL REFERENCES old_interceptions (id),
    seq             BIGINT NOT NULL,
    prompt          TEXT   NOT NULL,
    recorded_at     TEXT   NOT NULL,
    PRIMARY KEY (interception_id, seq)
);

CREATE TABLE old_token_usage (
    interception_id   TEXT   NOT NULL REFERENCES old_interceptions (id),
    seq               BIGINT NOT NULL,
    round             BIGINT NOT NULL,
    model             TEXT   NOT NULL,
    response_id       TEXT   NOT NULL,
    input             BIGINT NOT NULL,
    output            BIGINT NOT NULL,
    cache_read        BIGINT NOT NULL,
    cache_write_short BIGINT NOT NULL,
    cache_write_long  BIGINT NOT NULL,
    reasoning         BIGINT NOT NULL,
    recorded_at       TEXT   NOT NULL,
    PRIMARY KEY (interception_id, seq)
);

CREATE TABLE old_model_thought (
    interception_id TEXT   NOT NULL REFERENCES old_interceptions (id),
    seq             BIGINT NOT NULL,
    round           BIGINT NOT NULL,
    thought         TEXT   NOT NULL,
    recorded_at     TEXT   NOT NULL,
    PRIMARY KEY (interception_id, seq)
);

CREATE TABLE old_tool_usage (
    id              TEXT   NOT NULL PRIMARY KEY,
    interception_id TEXT   NOT NULL REFERENCES old_interceptions (id),
    seq             BIGINT NOT NULL,
    round           BIGINT NOT NULL,
    call_id         TEXT   NOT NULL,
    tool            TEXT   NOT NULL, -- as the model sees it
    server          TEXT,
    server_tool     TEXT,            -- as the server lists it
    server_url      TEXT,
    injected        BIGINT NOT NULL,
    arguments       TEXT   NOT NULL,
    rule            TEXT,
    intended_at     TEXT,            -- NULL where the gateway never meant to run the call
    outcome         TEXT,            -- NULL while the call runs
    result          TEXT,
    result_bytes    BIGINT,
    truncated       BIGINT NOT NULL,
    duration_ms     BIGINT,
    ended_at        TEXT
);
CREATE INDEX old_tool_usage_by_interception ON old_tool_usage (interception_id, seq);
CREATE INDEX old_tool_usage_open ON old_tool_usage (id) WHERE outcome IS NULL;

ALTER TABLE old_interceptions ADD COLUMN continuity TEXT NOT NULL DEFAULT '[]';
ALTER TABLE old_interceptions ADD COLUMN repeats TEXT;
ALTER TABLE old_tool_usage ADD COLUMN via TEXT;
