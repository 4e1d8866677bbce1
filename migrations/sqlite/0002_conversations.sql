-- What answers hid from their clients, to be put back when their conversations go on; sealed.
CREATE TABLE continuations (
    place   TEXT NOT NULL, -- whose, and after what
    id      TEXT NOT NULL, -- of the content: several answers may have one place
    sealed  TEXT NOT NULL, -- base64
    used_at TEXT NOT NULL,
    PRIMARY KEY (place, id)
);
CREATE INDEX continuations_by_use ON continuations (used_at);

-- Definitions of tools as conversations are shown them, each set once.
CREATE TABLE tool_sets (
    id    TEXT NOT NULL PRIMARY KEY,
    tools TEXT NOT NULL -- a JSON array
);
CREATE TABLE pins (
    conversation TEXT NOT NULL PRIMARY KEY,
    tool_set     TEXT NOT NULL REFERENCES tool_sets (id),
    used_at      TEXT NOT NULL
);
CREATE INDEX pins_by_use ON pins (used_at);
CREATE INDEX pins_by_set ON pins (tool_set);

-- Ids of stored responses, as they were given to callers.
CREATE TABLE issued_ids (
    caller_key TEXT NOT NULL,
    id         TEXT NOT NULL,
    last_id    TEXT NOT NULL,
    unanswered TEXT NOT NULL, -- a JSON array of call ids
    created_at TEXT NOT NULL,
    PRIMARY KEY (caller_key, id)
);
CREATE INDEX issued_ids_by_age ON issued_ids (created_at);
