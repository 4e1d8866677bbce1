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
);
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
);
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
);

-- Adds a row, or takes it away.
CREATE FUNCTION count_usage(of_row interceptions, sign BIGINT) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF of_row.outcome IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO usage_days
    VALUES (
        SUBSTR(of_row.started_at, 1, 10), of_row.instance, of_row.provider, of_row.dialect,
        SUBSTR(of_row.model, 1, 120), SUBSTR(of_row.client, 1, 120), of_row.outcome, sign,
        sign * COALESCE(of_row.rounds, 0), sign * COALESCE(of_row.injected_calls, 0),
        sign * COALESCE(of_row.client_calls, 0), sign * COALESCE(of_row.input, 0),
        sign * COALESCE(of_row.output, 0), sign * COALESCE(of_row.cache_read, 0),
        sign * COALESCE(of_row.cache_write, 0), sign * COALESCE(of_row.reasoning, 0),
        sign * COALESCE(of_row.total_us, 0), sign * COALESCE(of_row.provider_us, 0),
        sign * COALESCE(of_row.tools_us, 0)
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
    IF sign < 0 THEN
        DELETE FROM usage_days WHERE interceptions = 0
            AND (day, instance, provider, dialect, model, client, outcome) = (
                SUBSTR(of_row.started_at, 1, 10), of_row.instance, of_row.provider, of_row.dialect,
                SUBSTR(of_row.model, 1, 120), SUBSTR(of_row.client, 1, 120), of_row.outcome
            );
    END IF;
END $$;
CREATE FUNCTION count_usage_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM count_usage(OLD, -1);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM count_usage(NEW, 1);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER interceptions_count_usage AFTER INSERT OR DELETE OR UPDATE OF outcome ON interceptions
    FOR EACH ROW EXECUTE FUNCTION count_usage_change();

-- Adds a row, or takes it away.
CREATE FUNCTION count_people(of_row interceptions, sign BIGINT) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF of_row.outcome IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO people_days
    VALUES (
        SUBSTR(of_row.started_at, 1, 10), of_row.instance, COALESCE(of_row.person, ''),
        COALESCE(of_row.caller, ''), of_row.provider, sign, sign * COALESCE(of_row.rounds, 0),
        sign * COALESCE(of_row.injected_calls, 0), sign * COALESCE(of_row.client_calls, 0),
        sign * COALESCE(of_row.input, 0), sign * COALESCE(of_row.output, 0),
        sign * COALESCE(of_row.cache_read, 0), sign * COALESCE(of_row.cache_write, 0),
        sign * COALESCE(of_row.reasoning, 0), sign * COALESCE(of_row.total_us, 0),
        sign * COALESCE(of_row.provider_us, 0), sign * COALESCE(of_row.tools_us, 0)
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
    IF sign < 0 THEN
        DELETE FROM people_days WHERE interceptions = 0
            AND (day, instance, person, caller, provider) = (
                SUBSTR(of_row.started_at, 1, 10), of_row.instance, COALESCE(of_row.person, ''),
                COALESCE(of_row.caller, ''), of_row.provider
            );
    END IF;
END $$;
CREATE FUNCTION count_people_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM count_people(OLD, -1);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM count_people(NEW, 1);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER interceptions_count_people AFTER INSERT OR DELETE OR UPDATE OF outcome, person, caller ON interceptions
    FOR EACH ROW EXECUTE FUNCTION count_people_change();

-- Adds a row, or takes it away.
CREATE FUNCTION count_tool(of_row tool_usage, sign BIGINT) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF of_row.outcome IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO tool_days
    VALUES (
        SUBSTR(of_row.recorded_at, 1, 10),
        COALESCE((SELECT instance FROM interceptions WHERE id = of_row.interception_id), ''),
        COALESCE(of_row.server, ''), SUBSTR(COALESCE(of_row.server_tool, of_row.tool), 1, 120),
        of_row.injected, of_row.outcome, sign, sign * COALESCE(of_row.duration_us, 0),
        sign * COALESCE(of_row.result_bytes, 0), sign * COALESCE(of_row.truncated, 0)
    )
    ON CONFLICT (day, instance, server, tool, injected, outcome) DO UPDATE SET
        calls = tool_days.calls + EXCLUDED.calls, duration_us = tool_days.duration_us + EXCLUDED.duration_us,
        result_bytes = tool_days.result_bytes + EXCLUDED.result_bytes,
        truncated = tool_days.truncated + EXCLUDED.truncated;
    IF sign < 0 THEN
        DELETE FROM tool_days WHERE calls = 0
            AND (day, instance, server, tool, injected, outcome) = (
                SUBSTR(of_row.recorded_at, 1, 10),
                COALESCE((SELECT instance FROM interceptions WHERE id = of_row.interception_id), ''),
                COALESCE(of_row.server, ''), SUBSTR(COALESCE(of_row.server_tool, of_row.tool), 1, 120),
                of_row.injected, of_row.outcome
            );
    END IF;
END $$;
CREATE FUNCTION count_tool_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM count_tool(OLD, -1);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM count_tool(NEW, 1);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tool_usage_counted AFTER INSERT OR DELETE OR UPDATE OF outcome ON tool_usage
    FOR EACH ROW EXECUTE FUNCTION count_tool_change();
