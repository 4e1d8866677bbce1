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

CREATE INDEX issued_ids_by_age ON issued_ids (created_at);

ALTER TABLE interceptions ADD COLUMN continuity TEXT NOT NULL DEFAULT '[]'; -- a JSON array of notes
ALTER TABLE interceptions ADD COLUMN repeats TEXT; -- the interception that this one goes on with
