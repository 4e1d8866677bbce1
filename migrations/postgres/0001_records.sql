-- TEXT, BIGINT and binary columns only: the types that both databases store and decode alike.
-- Times are RFC 3339 in UTC with microseconds, so that text order is time order; booleans are 0 and 1.
-- seq counts the records of one interception, from 0: with it, writing a record twice changes nothing.
-- No references between records: one that comes late must be kept, even where what it belongs to is gone.

-- By the names that SQLite has for them, so that both databases take many rows in one text.
CREATE FUNCTION json_each(rows text) RETURNS TABLE (key text, value jsonb) LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS 'SELECT key, value FROM jsonb_each(rows::jsonb)';
CREATE FUNCTION unhex(digits text) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS 'SELECT decode(digits, ''hex'')';

-- Runs of gateways. One whose lease has run out is gone, and another one closes what it left open.
CREATE TABLE instances (
    instance    TEXT   NOT NULL,
    epoch       BIGINT NOT NULL,
    started_at  TEXT   NOT NULL,
    lease_until TEXT   NOT NULL,
    ended_at    TEXT,            -- NULL while it runs, or nobody has seen that it does not
    PRIMARY KEY (instance, epoch)
);

-- The hash chain of each run: one link a commit. Whoever adds the next link owns the chain: its key is the fence.
CREATE TABLE links (
    instance TEXT   NOT NULL,
    epoch    BIGINT NOT NULL,
    seq      BIGINT NOT NULL,
    made_at  TEXT   NOT NULL,
    leaves   BYTEA  NOT NULL,    -- which rows, each with its digest
    hash     TEXT   NOT NULL,
    PRIMARY KEY (instance, epoch, seq)
);

-- The heads of all chains, signed.
CREATE TABLE checkpoints (
    id        TEXT NOT NULL PRIMARY KEY,
    made_at   TEXT NOT NULL,
    body      TEXT NOT NULL,     -- the JSON that is signed
    signature TEXT NOT NULL
);
CREATE INDEX checkpoints_by_time ON checkpoints (made_at);

-- Whose content it is. Without the key it cannot be read any more; without the name nobody knows whose it was.
CREATE TABLE people (
    id         TEXT NOT NULL PRIMARY KEY,
    user_name  TEXT,             -- NULL once erased
    sealed_key TEXT,             -- base64; NULL once erased
    created_at TEXT NOT NULL,
    erased_at  TEXT
);
CREATE INDEX people_by_name ON people (user_name); -- gateways that share a store may each have met the same user first

-- The keys and groups with which people came.
CREATE TABLE callers (
    id          TEXT NOT NULL PRIMARY KEY, -- a digest of the three
    person      TEXT NOT NULL,
    key_name    TEXT NOT NULL,
    group_names TEXT NOT NULL              -- a JSON array
);
CREATE INDEX callers_by_person ON callers (person);

-- Texts, each once a person: compressed, and sealed under the person's key.
CREATE TABLE content (
    id      TEXT NOT NULL PRIMARY KEY,     -- a digest of the text under the person's key
    person  TEXT NOT NULL,
    body    BYTEA NOT NULL,
    used_at TEXT NOT NULL                  -- to the day or so
);
CREATE INDEX content_by_use ON content (used_at);
CREATE INDEX content_by_person ON content (person);

CREATE TABLE interceptions (
    id             TEXT   NOT NULL PRIMARY KEY,
    instance       TEXT   NOT NULL,
    epoch          BIGINT NOT NULL,
    who            TEXT   NOT NULL,        -- proves person and caller, and stays when they are pruned
    person         TEXT,
    caller         TEXT,
    provider       TEXT   NOT NULL,
    dialect        TEXT   NOT NULL,
    model          TEXT   NOT NULL,
    client         TEXT   NOT NULL,
    client_version TEXT,
    client_session TEXT,
    agent          TEXT,
    parent_agent   TEXT,
    request_id     TEXT,
    trace          TEXT,
    thread         TEXT   NOT NULL,
    parent         TEXT,
    place          TEXT,
    injection      TEXT   NOT NULL,
    left_out       TEXT   NOT NULL,        -- a JSON array: tool names, each with its reason
    hosted         TEXT   NOT NULL,        -- a JSON array of tool types
    continuity     TEXT   NOT NULL,        -- a JSON array of notes
    repeats        TEXT,                   -- the interception that this one goes on with
    policy         TEXT   NOT NULL,
    started_at     TEXT   NOT NULL,
    ended_at       TEXT,
    outcome        TEXT,                   -- NULL while it runs
    status         BIGINT,
    error          TEXT,
    stop_reason    TEXT,
    answered_by    TEXT,
    first_byte_us  BIGINT,
    total_us       BIGINT,
    provider_us    BIGINT,
    tools_us       BIGINT,
    client_us      BIGINT,
    rounds         BIGINT,
    injected_calls BIGINT,
    client_calls   BIGINT,
    input          BIGINT,
    output         BIGINT,
    cache_read     BIGINT,
    cache_write    BIGINT,
    reasoning      BIGINT
);
CREATE INDEX interceptions_by_time ON interceptions (started_at, id);
CREATE INDEX interceptions_by_person ON interceptions (person, started_at, id);
CREATE INDEX interceptions_by_caller ON interceptions (caller, started_at, id);
CREATE INDEX interceptions_by_provider ON interceptions (provider, started_at, id);
CREATE INDEX interceptions_by_model ON interceptions (model, started_at, id);
CREATE INDEX interceptions_by_client ON interceptions (client, started_at, id);
CREATE INDEX interceptions_by_outcome ON interceptions (outcome, started_at, id);
CREATE INDEX interceptions_by_thread ON interceptions (thread, started_at, id);
CREATE INDEX interceptions_by_session ON interceptions (client_session, started_at, id) WHERE client_session IS NOT NULL;
CREATE INDEX interceptions_by_place ON interceptions (place) WHERE place IS NOT NULL;
CREATE INDEX interceptions_open ON interceptions (instance, epoch) WHERE outcome IS NULL;

CREATE TABLE prompt_usage (
    interception_id TEXT   NOT NULL,
    seq             BIGINT NOT NULL,
    role            TEXT   NOT NULL,       -- system, user
    content         TEXT,                  -- the digest of what is kept of the text
    bytes           BIGINT NOT NULL,
    kept            TEXT   NOT NULL,       -- none, digest, redacted, full, cut, dropped
    recorded_at     TEXT   NOT NULL,
    PRIMARY KEY (interception_id, seq)
);

CREATE TABLE token_usage (
    interception_id   TEXT   NOT NULL,
    seq               BIGINT NOT NULL,
    round             BIGINT NOT NULL,
    model             TEXT   NOT NULL,
    response_id       TEXT   NOT NULL,
    request_id        TEXT,                -- the provider's
    status            BIGINT,
    stop_reason       TEXT,
    input             BIGINT NOT NULL,
    output            BIGINT NOT NULL,
    cache_read        BIGINT NOT NULL,
    cache_write_short BIGINT NOT NULL,
    cache_write_long  BIGINT NOT NULL,
    reasoning         BIGINT NOT NULL,
    content           TEXT,                -- of what the model said
    bytes             BIGINT NOT NULL,
    kept              TEXT   NOT NULL,
    first_byte_us     BIGINT,
    duration_us       BIGINT,
    recorded_at       TEXT   NOT NULL,
    PRIMARY KEY (interception_id, seq)
);

CREATE TABLE model_thought (
    interception_id TEXT   NOT NULL,
    seq             BIGINT NOT NULL,
    round           BIGINT NOT NULL,
    content         TEXT,
    bytes           BIGINT NOT NULL,
    kept            TEXT   NOT NULL,
    recorded_at     TEXT   NOT NULL,
    PRIMARY KEY (interception_id, seq)
);

CREATE TABLE tool_usage (
    id              TEXT   NOT NULL PRIMARY KEY,
    interception_id TEXT   NOT NULL,
    seq             BIGINT NOT NULL,
    round           BIGINT NOT NULL,
    call_id         TEXT   NOT NULL,
    tool            TEXT   NOT NULL,       -- as the model sees it
    server          TEXT,
    server_tool     TEXT,                  -- as the server lists it
    server_url      TEXT,
    definition      TEXT,                  -- the digest of what the model was shown of the tool
    injected        BIGINT NOT NULL,
    via             TEXT,                  -- how a call that runs here came to be: injected, search, mcp
    content         TEXT,                  -- of the arguments
    bytes           BIGINT NOT NULL,
    kept            TEXT   NOT NULL,
    rule            TEXT,
    policy          TEXT,
    approver        TEXT,
    intended_at     TEXT,                  -- NULL where the gateway never meant to run the call
    recorded_at     TEXT   NOT NULL,
    outcome         TEXT,                  -- NULL while the call runs
    result_content  TEXT,
    result_bytes    BIGINT,
    result_kept     TEXT,
    truncated       BIGINT,
    duration_us     BIGINT,
    ended_at        TEXT
);
CREATE UNIQUE INDEX tool_usage_by_interception ON tool_usage (interception_id, seq);
CREATE INDEX tool_usage_by_time ON tool_usage (recorded_at, id);
CREATE INDEX tool_usage_by_name ON tool_usage (tool, recorded_at, id);
CREATE INDEX tool_usage_by_tool ON tool_usage (server, server_tool, recorded_at, id);
CREATE INDEX tool_usage_by_call ON tool_usage (call_id, recorded_at);
CREATE INDEX tool_usage_open ON tool_usage (interception_id) WHERE outcome IS NULL;

-- What was done with the records.
CREATE TABLE audit_events (
    id       TEXT   NOT NULL PRIMARY KEY,
    instance TEXT   NOT NULL,
    epoch    BIGINT NOT NULL,
    who      TEXT,
    person   TEXT,
    caller   TEXT,
    action   TEXT   NOT NULL,
    detail   TEXT   NOT NULL,              -- a JSON object
    at       TEXT   NOT NULL
);
CREATE INDEX audit_events_by_time ON audit_events (at, id);
CREATE INDEX audit_events_by_action ON audit_events (action, at, id);
CREATE INDEX audit_events_by_person ON audit_events (person) WHERE person IS NOT NULL;
