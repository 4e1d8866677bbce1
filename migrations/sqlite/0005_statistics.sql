-- What came and went on each day, so that statistics over months read few rows: once by what was asked, once by who asked,
-- for both together would be nearly as many rows as there are interceptions. Triggers keep it true, whoever writes, ends,
-- prunes or deletes rows. Each gateway counts in rows of its own, so that none waits for another one.
CREATE TABLE usage_days (
    day            TEXT   NOT NULL,
    instance       TEXT   NOT NULL,
    provider       TEXT   NOT NULL,
    dialect        TEXT   NOT NULL,
    model          TEXT   NOT NULL,
    client         TEXT   NOT NULL,
    outcome        TEXT   NOT NULL,
    interceptions  BIGINT NOT NULL,
    rounds         BIGINT NOT NULL,
    injected_calls BIGINT NOT NULL,
    client_calls   BIGINT NOT NULL,
    input          BIGINT NOT NULL,
    output         BIGINT NOT NULL,
    cache_read     BIGINT NOT NULL,
    cache_write    BIGINT NOT NULL,
    reasoning      BIGINT NOT NULL,
    total_us       BIGINT NOT NULL,
    provider_us    BIGINT NOT NULL,
    tools_us       BIGINT NOT NULL,
    PRIMARY KEY (day, instance, provider, dialect, model, client, outcome)
) WITHOUT ROWID;
CREATE TABLE people_days (
    day            TEXT   NOT NULL,
    instance       TEXT   NOT NULL,
    person         TEXT   NOT NULL,
    caller         TEXT   NOT NULL,
    provider       TEXT   NOT NULL,
    interceptions  BIGINT NOT NULL,
    rounds         BIGINT NOT NULL,
    injected_calls BIGINT NOT NULL,
    client_calls   BIGINT NOT NULL,
    input          BIGINT NOT NULL,
    output         BIGINT NOT NULL,
    cache_read     BIGINT NOT NULL,
    cache_write    BIGINT NOT NULL,
    reasoning      BIGINT NOT NULL,
    total_us       BIGINT NOT NULL,
    provider_us    BIGINT NOT NULL,
    tools_us       BIGINT NOT NULL,
    PRIMARY KEY (day, instance, person, caller, provider)
) WITHOUT ROWID;
CREATE TABLE tool_days (
    day            TEXT   NOT NULL,
    instance       TEXT   NOT NULL,
    server         TEXT   NOT NULL,
    tool           TEXT   NOT NULL,
    injected       BIGINT NOT NULL,
    outcome        TEXT   NOT NULL,
    calls          BIGINT NOT NULL,
    duration_us    BIGINT NOT NULL,
    result_bytes   BIGINT NOT NULL,
    truncated      BIGINT NOT NULL,
    PRIMARY KEY (day, instance, server, tool, injected, outcome)
) WITHOUT ROWID;

-- What is inserted here is added to both.
CREATE VIEW usage_changes AS SELECT
    '' AS day, '' AS instance, '' AS person, '' AS caller, '' AS provider, '' AS dialect, '' AS model,
    '' AS client, '' AS outcome, 0 AS interceptions, 0 AS rounds, 0 AS injected_calls, 0 AS client_calls,
    0 AS input, 0 AS output, 0 AS cache_read, 0 AS cache_write, 0 AS reasoning, 0 AS total_us,
    0 AS provider_us, 0 AS tools_us;
CREATE TRIGGER usage_changes_insert INSTEAD OF INSERT ON usage_changes BEGIN
    INSERT INTO usage_days
    VALUES (
        NEW.day, NEW.instance, NEW.provider, NEW.dialect, NEW.model, NEW.client, NEW.outcome,
        NEW.interceptions, NEW.rounds, NEW.injected_calls, NEW.client_calls, NEW.input, NEW.output,
        NEW.cache_read, NEW.cache_write, NEW.reasoning, NEW.total_us, NEW.provider_us, NEW.tools_us
    )
    ON CONFLICT (day, instance, provider, dialect, model, client, outcome) DO UPDATE SET
        interceptions = usage_days.interceptions + EXCLUDED.interceptions,
        rounds = usage_days.rounds + EXCLUDED.rounds,
        injected_calls = usage_days.injected_calls + EXCLUDED.injected_calls,
        client_calls = usage_days.client_calls + EXCLUDED.client_calls,
        input = usage_days.input + EXCLUDED.input, output = usage_days.output + EXCLUDED.output,
        cache_read = usage_days.cache_read + EXCLUDED.cache_read,
        cache_write = usage_days.cache_write + EXCLUDED.cache_write,
        reasoning = usage_days.reasoning + EXCLUDED.reasoning,
        total_us = usage_days.total_us + EXCLUDED.total_us,
        provider_us = usage_days.provider_us + EXCLUDED.provider_us,
        tools_us = usage_days.tools_us + EXCLUDED.tools_us;
    DELETE FROM usage_days WHERE NEW.interceptions < 0 AND interceptions = 0
        AND day = NEW.day AND instance = NEW.instance AND provider = NEW.provider AND dialect = NEW.dialect
        AND model = NEW.model AND client = NEW.client AND outcome = NEW.outcome;
    INSERT INTO people_days
    VALUES (
        NEW.day, NEW.instance, NEW.person, NEW.caller, NEW.provider, NEW.interceptions, NEW.rounds,
        NEW.injected_calls, NEW.client_calls, NEW.input, NEW.output, NEW.cache_read, NEW.cache_write,
        NEW.reasoning, NEW.total_us, NEW.provider_us, NEW.tools_us
    )
    ON CONFLICT (day, instance, person, caller, provider) DO UPDATE SET
        interceptions = people_days.interceptions + EXCLUDED.interceptions,
        rounds = people_days.rounds + EXCLUDED.rounds,
        injected_calls = people_days.injected_calls + EXCLUDED.injected_calls,
        client_calls = people_days.client_calls + EXCLUDED.client_calls,
        input = people_days.input + EXCLUDED.input, output = people_days.output + EXCLUDED.output,
        cache_read = people_days.cache_read + EXCLUDED.cache_read,
        cache_write = people_days.cache_write + EXCLUDED.cache_write,
        reasoning = people_days.reasoning + EXCLUDED.reasoning,
        total_us = people_days.total_us + EXCLUDED.total_us,
        provider_us = people_days.provider_us + EXCLUDED.provider_us,
        tools_us = people_days.tools_us + EXCLUDED.tools_us;
    DELETE FROM people_days WHERE NEW.interceptions < 0 AND interceptions = 0
        AND day = NEW.day AND instance = NEW.instance AND person = NEW.person AND caller = NEW.caller
        AND provider = NEW.provider;
END;
CREATE TRIGGER interceptions_counted AFTER INSERT ON interceptions WHEN NEW.outcome IS NOT NULL BEGIN
    INSERT INTO usage_changes SELECT
        SUBSTR(NEW.started_at, 1, 10), NEW.instance, COALESCE(NEW.person, ''), COALESCE(NEW.caller, ''),
        NEW.provider, NEW.dialect, SUBSTR(NEW.model, 1, 120), SUBSTR(NEW.client, 1, 120), NEW.outcome, 1,
        COALESCE(NEW.rounds, 0), COALESCE(NEW.injected_calls, 0), COALESCE(NEW.client_calls, 0),
        COALESCE(NEW.input, 0), COALESCE(NEW.output, 0), COALESCE(NEW.cache_read, 0),
        COALESCE(NEW.cache_write, 0), COALESCE(NEW.reasoning, 0), COALESCE(NEW.total_us, 0),
        COALESCE(NEW.provider_us, 0), COALESCE(NEW.tools_us, 0)
    WHERE true;
END;
CREATE TRIGGER interceptions_recounted AFTER UPDATE OF outcome, person, caller ON interceptions BEGIN
    INSERT INTO usage_changes SELECT
        SUBSTR(OLD.started_at, 1, 10), OLD.instance, COALESCE(OLD.person, ''), COALESCE(OLD.caller, ''),
        OLD.provider, OLD.dialect, SUBSTR(OLD.model, 1, 120), SUBSTR(OLD.client, 1, 120), OLD.outcome, -1,
        -COALESCE(OLD.rounds, 0), -COALESCE(OLD.injected_calls, 0), -COALESCE(OLD.client_calls, 0),
        -COALESCE(OLD.input, 0), -COALESCE(OLD.output, 0), -COALESCE(OLD.cache_read, 0),
        -COALESCE(OLD.cache_write, 0), -COALESCE(OLD.reasoning, 0), -COALESCE(OLD.total_us, 0),
        -COALESCE(OLD.provider_us, 0), -COALESCE(OLD.tools_us, 0)
    WHERE OLD.outcome IS NOT NULL;
    INSERT INTO usage_changes SELECT
        SUBSTR(NEW.started_at, 1, 10), NEW.instance, COALESCE(NEW.person, ''), COALESCE(NEW.caller, ''),
        NEW.provider, NEW.dialect, SUBSTR(NEW.model, 1, 120), SUBSTR(NEW.client, 1, 120), NEW.outcome, 1,
        COALESCE(NEW.rounds, 0), COALESCE(NEW.injected_calls, 0), COALESCE(NEW.client_calls, 0),
        COALESCE(NEW.input, 0), COALESCE(NEW.output, 0), COALESCE(NEW.cache_read, 0),
        COALESCE(NEW.cache_write, 0), COALESCE(NEW.reasoning, 0), COALESCE(NEW.total_us, 0),
        COALESCE(NEW.provider_us, 0), COALESCE(NEW.tools_us, 0)
    WHERE NEW.outcome IS NOT NULL;
END;
CREATE TRIGGER interceptions_uncounted AFTER DELETE ON interceptions WHEN OLD.outcome IS NOT NULL BEGIN
    INSERT INTO usage_changes SELECT
        SUBSTR(OLD.started_at, 1, 10), OLD.instance, COALESCE(OLD.person, ''), COALESCE(OLD.caller, ''),
        OLD.provider, OLD.dialect, SUBSTR(OLD.model, 1, 120), SUBSTR(OLD.client, 1, 120), OLD.outcome, -1,
        -COALESCE(OLD.rounds, 0), -COALESCE(OLD.injected_calls, 0), -COALESCE(OLD.client_calls, 0),
        -COALESCE(OLD.input, 0), -COALESCE(OLD.output, 0), -COALESCE(OLD.cache_read, 0),
        -COALESCE(OLD.cache_write, 0), -COALESCE(OLD.reasoning, 0), -COALESCE(OLD.total_us, 0),
        -COALESCE(OLD.provider_us, 0), -COALESCE(OLD.tools_us, 0)
    WHERE true;
END;

-- What is inserted here is added to tool_days.
CREATE VIEW tool_changes AS SELECT * FROM tool_days;
CREATE TRIGGER tool_changes_insert INSTEAD OF INSERT ON tool_changes BEGIN
    INSERT INTO tool_days
    VALUES (
        NEW.day, NEW.instance, NEW.server, NEW.tool, NEW.injected, NEW.outcome, NEW.calls, NEW.duration_us,
        NEW.result_bytes, NEW.truncated
    )
    ON CONFLICT (day, instance, server, tool, injected, outcome) DO UPDATE SET
        calls = tool_days.calls + EXCLUDED.calls, duration_us = tool_days.duration_us + EXCLUDED.duration_us,
        result_bytes = tool_days.result_bytes + EXCLUDED.result_bytes,
        truncated = tool_days.truncated + EXCLUDED.truncated;
    DELETE FROM tool_days WHERE NEW.calls < 0 AND calls = 0
        AND day = NEW.day AND instance = NEW.instance AND server = NEW.server AND tool = NEW.tool
        AND injected = NEW.injected AND outcome = NEW.outcome;
END;
CREATE TRIGGER tool_usage_counted AFTER INSERT ON tool_usage WHEN NEW.outcome IS NOT NULL BEGIN
    INSERT INTO tool_changes SELECT
        SUBSTR(NEW.recorded_at, 1, 10),
        COALESCE((SELECT instance FROM interceptions WHERE id = NEW.interception_id), ''),
        COALESCE(NEW.server, ''), SUBSTR(COALESCE(NEW.server_tool, NEW.tool), 1, 120), NEW.injected,
        NEW.outcome, 1, COALESCE(NEW.duration_us, 0), COALESCE(NEW.result_bytes, 0), COALESCE(NEW.truncated, 0)
    WHERE true;
END;
CREATE TRIGGER tool_usage_recounted AFTER UPDATE OF outcome ON tool_usage BEGIN
    INSERT INTO tool_changes SELECT
        SUBSTR(OLD.recorded_at, 1, 10),
        COALESCE((SELECT instance FROM interceptions WHERE id = OLD.interception_id), ''),
        COALESCE(OLD.server, ''), SUBSTR(COALESCE(OLD.server_tool, OLD.tool), 1, 120), OLD.injected,
        OLD.outcome, -1, -COALESCE(OLD.duration_us, 0), -COALESCE(OLD.result_bytes, 0),
        -COALESCE(OLD.truncated, 0)
    WHERE OLD.outcome IS NOT NULL;
    INSERT INTO tool_changes SELECT
        SUBSTR(NEW.recorded_at, 1, 10),
        COALESCE((SELECT instance FROM interceptions WHERE id = NEW.interception_id), ''),
        COALESCE(NEW.server, ''), SUBSTR(COALESCE(NEW.server_tool, NEW.tool), 1, 120), NEW.injected,
        NEW.outcome, 1, COALESCE(NEW.duration_us, 0), COALESCE(NEW.result_bytes, 0), COALESCE(NEW.truncated, 0)
    WHERE NEW.outcome IS NOT NULL;
END;
CREATE TRIGGER tool_usage_uncounted AFTER DELETE ON tool_usage WHEN OLD.outcome IS NOT NULL BEGIN
    INSERT INTO tool_changes SELECT
        SUBSTR(OLD.recorded_at, 1, 10),
        COALESCE((SELECT instance FROM interceptions WHERE id = OLD.interception_id), ''),
        COALESCE(OLD.server, ''), SUBSTR(COALESCE(OLD.server_tool, OLD.tool), 1, 120), OLD.injected,
        OLD.outcome, -1, -COALESCE(OLD.duration_us, 0), -COALESCE(OLD.result_bytes, 0),
        -COALESCE(OLD.truncated, 0)
    WHERE true;
END;
