-- Which words stand in what people, models and tools wrote, without what must not be kept in the clear. The words come
-- folded; the index keeps where a word stands, and no text.
CREATE TABLE search_rows (
    number          INTEGER NOT NULL PRIMARY KEY,
    interception_id TEXT    NOT NULL,
    person          TEXT    NOT NULL
);
CREATE INDEX search_rows_by_interception ON search_rows (interception_id);
CREATE INDEX search_rows_by_person ON search_rows (person);
CREATE VIRTUAL TABLE search_index USING fts5
    (words, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii');

-- One statement writes both.
CREATE VIEW search_words AS SELECT interception_id, person, '' AS words FROM search_rows;
CREATE TRIGGER search_words_insert INSTEAD OF INSERT ON search_words BEGIN
    INSERT INTO search_rows (interception_id, person) VALUES (NEW.interception_id, NEW.person);
    INSERT INTO search_index (rowid, words) VALUES (last_insert_rowid(), NEW.words);
END;
CREATE TRIGGER search_rows_delete AFTER DELETE ON search_rows BEGIN
    DELETE FROM search_index WHERE rowid = OLD.number;
END;
