-- The words of what people and models wrote, without what must not be kept in the clear.
CREATE VIRTUAL TABLE search_words USING fts5 (words, interception_id UNINDEXED, person UNINDEXED, tokenize = 'unicode61 remove_diacritics 2');
CREATE TABLE search_rows (
    interception_id TEXT   NOT NULL,
    seq             BIGINT NOT NULL,
    row_number      BIGINT NOT NULL,
    PRIMARY KEY (interception_id, seq)
);
