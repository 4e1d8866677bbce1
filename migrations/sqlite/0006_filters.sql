-- Lists that these columns lead, and others restrict, read the index alone: where few rows fit, each row that does not
-- would have to be looked up for nothing.
DROP INDEX interceptions_by_person;
CREATE INDEX interceptions_by_person ON interceptions (person, started_at, id, outcome, model, client, provider, caller);
DROP INDEX interceptions_by_caller;
CREATE INDEX interceptions_by_caller ON interceptions (caller, started_at, id, outcome, model, client, provider);
DROP INDEX interceptions_by_outcome;
CREATE INDEX interceptions_by_outcome ON interceptions (outcome, started_at, id, model, client, provider, person, caller);
DROP INDEX interceptions_by_model;
CREATE INDEX interceptions_by_model ON interceptions (model, started_at, id, outcome, client, provider, person, caller);
DROP INDEX interceptions_by_client;
CREATE INDEX interceptions_by_client ON interceptions (client, started_at, id, outcome, model, provider, person, caller);
