//! What is kept of the texts of providers and servers.

use super::{OPEN, load_files, refused};
use crate::config::{Config, Record};

fn with_server(record: &str) -> Result<Config, String> {
    let server = format!("name: x\ntransport: http\nurl: https://x.test/mcp\n{record}");
    load_files(&[("toolgate.yaml", OPEN), ("mcp-servers/x.yaml", &server)])
}

fn kept(record: &str, tool: &str) -> Option<Record> {
    with_server(record).unwrap().servers[0].record.of(tool)
}

#[test]
fn a_server_says_what_is_kept_of_all_its_tools_or_of_each() {
    assert_eq!(kept("", "get_it"), None, "the audit's own setting counts");
    assert_eq!(kept("record: redacted\n", "get_it"), Some(Record::Redacted));
    let by_tool = "record:\n  default: digest\n  tools:\n    get_secret: none\n    \"get_*\": full\n    /^a.*/: redacted\n";
    for (tool, record) in [
        ("get_secret", Record::None),
        ("get_it", Record::Full),
        ("ab", Record::Redacted),
        ("put_it", Record::Digest),
    ] {
        assert_eq!(kept(by_tool, tool), Some(record), "{tool}");
    }
    assert_eq!(
        kept("record: { tools: { \"*\": full, get_it: none } }\n", "get_it"),
        Some(Record::Full),
        "the first counts"
    );
    assert_eq!(kept("record: { tools: { a: none } }\n", "b"), None);
}

#[test]
fn what_cannot_be_kept_is_said_with_its_place() {
    for (record, told) in [
        (
            "record: some\n",
            "mcp-servers/x.yaml:4:9: expected one of `none`, `digest`, `redacted`, `full`, found `some`",
        ),
        ("record: { tools: { \"[\": full } }\n", "mcp-servers/x.yaml:4:21: "),
        ("record: { tools: { a: some } }\n", "mcp-servers/x.yaml:4:23: "),
        ("record: { tool: full }\n", "mcp-servers/x.yaml:4:11: "),
    ] {
        let problem = with_server(record).unwrap_err();
        assert!(problem.starts_with(told), "{record}: {problem}");
    }
}

#[test]
fn a_provider_says_what_is_kept_of_what_goes_to_it() {
    let provider = |record: &str| OPEN.replace("/v1'}", &format!("/v1', record: {record}}}"));
    let config = load_files(&[("toolgate.yaml", provider("digest").as_str())]).unwrap();
    assert_eq!(config.providers[0].record, Some(Record::Digest));
    assert!(refused(&provider("some")).contains("some"));
}

#[test]
fn what_is_recorded_of_a_server_is_no_reason_to_connect_anew() {
    let [one, other] =
        ["record: none\n", "record: full\n"].map(|it| with_server(it).unwrap().servers.remove(0));
    assert!(one != other && one.is_reached_like(&other));
    let third = with_server("required: true\n").unwrap().servers.remove(0);
    assert!(!one.is_reached_like(&third));
}
