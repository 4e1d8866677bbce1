use std::collections::HashSet;

use super::*;

fn client(lines: &[(&'static str, &str)]) -> Client {
    Client::from_headers(&lines.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect())
}

#[test]
fn session_headers_tell_more_than_user_agents() {
    let claude = client(&[
        ("user-agent", "claude-cli/2.1.329 (external, sdk-cli)"),
        ("x-claude-code-session-id", "5b7e"),
    ]);
    assert_eq!((claude.name.as_str(), claude.session.as_deref()), ("claude-code", Some("5b7e")));
    let qwen = client(&[("user-agent", "claude-cli/0.24.4 (external, cli)"), ("x-app", "cli")]);
    assert_eq!((qwen.name.as_str(), qwen.session), ("claude-cli", None));
    let copilot = client(&[("user-agent", "OpenAI/JS 5.20.1"), ("x-interaction-type", "conversation-user")]);
    assert_eq!(copilot.name, "copilot");
}

#[test]
fn codex_sizes_its_context_by_usage() {
    for lines in [
        &[("originator", "codex_exec"), ("session-id", "s"), ("thread-id", "t")][..],
        &[("user-agent", "codex_cli_rs/0.169.0 (Debian)"), ("thread-id", "t")],
    ] {
        let codex = client(lines);
        assert_eq!((codex.name.as_str(), codex.session.as_deref()), ("codex", Some("t")));
        assert!(codex.sizes_context_by_usage());
    }
    assert!(!client(&[("user-agent", "OpenAI/Python 3.52.0")]).sizes_context_by_usage());
    assert_ne!(client(&[("originator", "another")]).name, "codex");
}

#[test]
fn user_agents_of_known_and_unknown_programs() {
    for (agent, name) in [
        ("opencode/1.18.33 ai-sdk/provider-utils/1", "opencode"),
        ("ai/7.0.173 ai-sdk-provider-utils/1", "ai-sdk"),
        ("ai-sdk/openai-compatible/3.0.37 ai-sdk/provider-utils/1", "ai-sdk"),
        ("Anthropic/JS 0.94.0", "anthropic-js"),
        ("AsyncOpenAI/Python 3.52.0", "openai-python"),
        ("curl/8.5.0", "curl"),
        ("My Program", "My"),
        ("/", "unknown"),
    ] {
        assert_eq!(client(&[("user-agent", agent)]).name, name);
    }
    let nobody = Client {
        name: "unknown".into(),
        version: None,
        session: None,
        agent: None,
        parent_agent: None,
        request_id: None,
        profile: None,
        side: None,
    };
    assert_eq!(client(&[]), nobody);
}

#[test]
fn versions_are_those_of_programs_and_not_of_the_libraries_that_they_use() {
    for (lines, version) in [
        (
            &[("user-agent", "claude-cli/2.1.329 (external, cli)"), ("x-claude-code-session-id", "s")][..],
            Some("2.1.329"),
        ),
        (
            &[("user-agent", "codex_exec/0.169.0 (Debian 13) dumb"), ("originator", "codex_exec")],
            Some("0.169.0"),
        ),
        (&[("user-agent", "opencode/1.18.33 ai-sdk/provider-utils/1")], Some("1.18.33")),
        (&[("user-agent", "OpenAI/JS 5.20.1")], Some("5.20.1")),
        (&[("user-agent", "OpenAI/JS 5.20.1"), ("x-interaction-type", "user")], None),
        (&[("user-agent", "ai-sdk/openai-compatible/3.0.37 runtime/bun")], Some("3.0.37")),
        (&[("user-agent", "My Program 7")], None),
        (&[("user-agent", "node-fetch")], None),
        (&[], None),
    ] {
        assert_eq!(client(lines).version.as_deref(), version, "{lines:?}");
    }
}

#[test]
fn agents_and_requests_have_ids() {
    let sub = client(&[
        ("x-claude-code-agent-id", "a2"),
        ("x-claude-code-parent-agent-id", "a1"),
        ("x-request-id", "r2"),
        ("x-client-request-id", "r1"),
    ]);
    let ids = [sub.agent, sub.parent_agent, sub.request_id].map(Option::unwrap);
    assert_eq!(ids, ["a2", "a1", "r1"]);
    assert_eq!(client(&[("x-request-id", "r2")]).request_id.as_deref(), Some("r2"));
}

#[test]
fn sessions_as_programs_send_them() {
    for (lines, session) in [
        (&[("x-session-affinity", "ses_1"), ("user-agent", "opencode/1.18.33")][..], Some("ses_1")),
        (&[("session_id", "p"), ("user-agent", "OpenAI/JS 6.26.0")], Some("p")),
        (&[("session-id", "s"), ("thread-id", "t")], Some("t")),
        (&[("x-session-affinity", "anyone")], None),
        (&[("x-session-id", "  ")], None),
    ] {
        assert_eq!(client(lines).session.as_deref(), session, "{lines:?}");
    }
}

#[test]
fn what_is_kept_is_short_and_printable() {
    let long = "x".repeat(5000);
    let client = client(&[("user-agent", &long), ("session_id", &long)]);
    assert_eq!((client.name.len(), client.session.unwrap().len()), (64, 128));
    let mut odd = HeaderMap::new();
    odd.insert("session-id", http::HeaderValue::from_bytes(b"a\tb\xff").unwrap());
    assert_eq!(Client::from_headers(&odd).session.as_deref(), Some("a?b?"));
}

#[test]
fn what_a_program_asks_for_on_the_side_is_what_it_says() {
    for (header, value, side) in [
        ("x-claude-code-request-class", "auxiliary", Some(SideRequest::Auxiliary)),
        ("x-claude-code-request-class", "compaction", Some(SideRequest::Compaction)),
        ("x-claude-code-request-class", "subagent", None),
        (
            "x-codex-turn-metadata",
            r#"{"turn_id":"1","request_kind":"compaction"}"#,
            Some(SideRequest::Compaction),
        ),
        ("x-codex-turn-metadata", r#"{"request_kind":"memory"}"#, Some(SideRequest::Auxiliary)),
        ("x-codex-turn-metadata", r#"{"request_kind":"turn"}"#, None),
        ("x-codex-turn-metadata", "{", None),
        ("user-agent", "compaction", None),
    ] {
        assert_eq!(client(&[(header, value)]).side, side, "{header}: {value}");
    }
}

#[test]
fn every_row_can_be_reached_and_has_its_reason() {
    let mut names = HashSet::new();
    for row in PROFILES {
        assert!(names.insert(row.name), "{} stands twice", row.name);
        assert!(row.why.len() > 40, "{} has no reason", row.name);
        for agent in row.agents {
            let found = client(&[("user-agent", agent)]);
            assert_eq!(found.name, row.name, "{agent} is taken for another");
        }
        for (header, start) in row.headers {
            assert_eq!(client(&[(header, &format!("{start}x"))]).name, row.name);
        }
        let reached = row.agents.len() + row.headers.len();
        assert!(reached > 0, "{} is never recognised", row.name);
    }
}
