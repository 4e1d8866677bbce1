-- Which words stand in what people, models and tools wrote, without what must not be kept in the clear. The words come
-- folded; the index keeps which there are, and no text.
CREATE TABLE search_rows (
    interception_id TEXT     NOT NULL,
    person          TEXT     NOT NULL,
    words           TSVECTOR NOT NULL
);
CREATE INDEX search_rows_by_interception ON search_rows (interception_id);
CREATE INDEX search_rows_by_person ON search_rows (person);
CREATE INDEX search_rows_by_word ON search_rows USING gin (words);
