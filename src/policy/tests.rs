use crate::domain::{Digest, Repeat, ToolSettings};
use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;

fn source(path: &str, text: &str) -> PolicySource {
    PolicySource { path: path.into(), text: text.into() }
}

pub(super) fn policy(text: &str) -> Policy {
    Policy::load(&[source("p.yaml", text)]).unwrap()
}

fn error(text: &str) -> String {
    Policy::load(&[source("p.yaml", text)]).unwrap_err().to_string()
}

pub(super) fn caller(user: &str, groups: &[&str], key: &str) -> Arc<Caller> {
    Arc::new(Caller {
        key: key.into(),
        user: user.into(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        settings: ToolSettings::default(),
    })
}

pub(super) fn tool(server: &str, tool: &str) -> ToolRef {
    ToolRef { server: server.into(), tool: tool.into() }
}

fn definition(source: ToolRef) -> Arc<ToolDefinition> {
    Arc::new(ToolDefinition {
        name: "t".into(),
        source,
        server_url: "stdio:t".into(),
        description: String::new(),
        input_schema: "{}".into(),
        read_only: false,
        repeat: Repeat::default(),
        timeout: std::time::Duration::from_secs(1),
        digest: Digest::default(),
    })
}

const TEAM: &str = r#"
rules:
  - name: engineers-read-github
    effect: allow
    users: ["*@example.com"]
    groups: [engineering, "sre-*"]
    tools: ["github/get_*", "github/{list,search}_?*"]
  - name: no-secrets
    effect: deny
    tools: ["*/*secret*"]
  - name: look-only
    effect: allow
    keys: [kiosk]
    actions: [see_tool]
    tools: ["*"]
"#;

#[test]
fn the_shipped_default_allows_every_approved_tool() {
    let policy = Policy::load(&[]).unwrap();
    let anyone = caller("x", &[], "y");
    assert_eq!(policy.may_see(&anyone, &tool("any", "thing")), Ok(()));
    assert_eq!(policy.permit(&anyone, &definition(tool("any", "a/b\n"))).unwrap().rule(), "default-allow");
    assert_eq!(policy.tests().len(), 9);
}

#[test]
fn administering_must_be_named_and_is_asked_of_a_whole_server() {
    let shipped = Policy::load(&[]).unwrap();
    let may = |policy: &Policy, user: &str, groups: &[&str], key: &str, server: &str| {
        policy.may_administer(&caller(user, groups, key), server).is_ok()
    };
    assert!(may(&shipped, "a", &["administrators"], "laptop", "github"));
    assert!(may(&shipped, "anonymous", &[], "anonymous", "github"));
    assert!(!may(&shipped, "anonymous", &["staff"], "laptop", "github"));
    let own = policy(
        "rules:
  - {name: all, effect: allow, tools: ['*']}
  - {name: some, effect: allow, groups: [team], actions: [administer], tools: ['git*/*', 'files/read_*']}
  - {name: none, effect: deny, users: [eve], tools: ['*']}",
    );
    assert!(may(&own, "a", &["team"], "k", "github") && !may(&own, "a", &["team"], "k", "mail"));
    assert!(!may(&own, "a", &["team"], "k", "files"), "some of its tools are not the whole server");
    assert!(!may(&own, "a", &[], "k", "github") && !may(&own, "eve", &["team"], "k", "github"));
}

#[test]
fn all_lists_of_a_rule_must_match() {
    let policy = policy(TEAM);
    let may = |user, groups: &[&str], server, name| {
        policy.permit(&caller(user, groups, "laptop"), &definition(tool(server, name))).is_ok()
    };
    assert!(may("a@example.com", &["engineering"], "github", "get_issue"));
    assert!(may("a@example.com", &["x", "sre-eu"], "github", "search_code"));
    assert!(!may("a@evil.test", &["engineering"], "github", "get_issue"), "user");
    assert!(!may("a@example.com", &["sales"], "github", "get_issue"), "group");
    assert!(!may("a@example.com", &[], "github", "get_issue"), "no group");
    assert!(!may("a@example.com", &["engineering"], "github", "delete_repo"), "tool");
    assert!(!may("a@example.com", &["engineering"], "my-github", "get_issue"), "server");
}

#[test]
fn deny_beats_allow_and_says_which_rule() {
    let policy = policy(TEAM);
    let engineer = caller("a@example.com", &["engineering"], "laptop");
    let denied = policy.may_see(&engineer, &tool("github", "get_secret"));
    assert_eq!(denied, Err(Denial { rule: Some("no-secrets".into()) }));
    assert_eq!(policy.may_see(&engineer, &tool("files", "read")), Err(Denial { rule: None }));
}

#[test]
fn seeing_is_not_calling() {
    let policy = policy(TEAM);
    let kiosk = caller("k", &[], "kiosk");
    assert!(policy.may_see(&kiosk, &tool("files", "read")).is_ok());
    let denial = policy.permit(&kiosk, &definition(tool("files", "read"))).unwrap_err();
    assert_eq!(denial.rule, None);
}

#[test]
fn a_server_wildcard_stays_before_the_slash() {
    let policy = policy("rules: [{name: r, effect: allow, tools: ['g*/read']}]");
    let anyone = caller("a", &[], "k");
    assert!(policy.may_see(&anyone, &tool("github", "read")).is_ok());
    assert!(policy.may_see(&anyone, &tool("github", "x/read")).is_err());
}

#[test]
fn files_without_rules_allow_nothing() {
    assert!(policy("").may_see(&caller("a", &[], "k"), &tool("a", "b")).is_err());
}

#[test]
fn a_failing_test_says_which_rule_decided() {
    let tests = "
tests:
  - caller: { user: a@example.com, groups: [engineering] }
    tool: github/get_issue
    expect: deny
  - caller: { user: b@example.com }
    tool: github/get_secret
    expect: allow
  - caller: { user: b@example.com }
    tool: files/read
    expect: allow
";
    assert_snapshot!(error(&format!("{TEAM}{tests}")), @r#"
    p.yaml:19:11: this test expects `deny`, but rule `engineers-read-github` allows it
      19 |     tool: github/get_issue
         |           ^^^^^^^^^^^^^^^^

    p.yaml:22:11: this test expects `allow`, but rule `no-secrets` denies it
      22 |     tool: github/get_secret
         |           ^^^^^^^^^^^^^^^^^

    p.yaml:25:11: this test expects `allow`, but no rule allows it
      25 |     tool: files/read
         |           ^^^^^^^^^^
    "#);
}

#[test]
fn bad_rules_are_explained() {
    assert_snapshot!(error("
rules:
  - name: one
    effect: allow
    tools: [get_issue, 'github/[z-a]', '{a/b,c/d}']
    users: []
  - name: one
    effect: deny
    tools: ['*']
    actions: []
"), @r#"
    p.yaml:5:13: expected `server/tool`: write `get_issue/*` for a whole server, `*/get_issue` for any server
      5 |     tools: [get_issue, 'github/[z-a]', '{a/b,c/d}']
        |             ^^^^^^^^^

    p.yaml:5:24: this is not a pattern: is a range the wrong way round?
      5 |     tools: [get_issue, 'github/[z-a]', '{a/b,c/d}']
        |                        ^^^^^^^^^^^^^^

    p.yaml:5:40: `{` is never closed by `}`
      5 |     tools: [get_issue, 'github/[z-a]', '{a/b,c/d}']
        |                                        ^^^^^^^^^^^

    p.yaml:6:12: an empty list matches no caller, so the rule does nothing
      6 |     users: []
        |            ^
      help: leave the field out, or write `["*"]`, to match any

    p.yaml:7:11: a second rule is called `one`
      7 |   - name: one
        |           ^^^
      note: the first one is at p.yaml:3:11

    p.yaml:10:14: an empty list matches no action, so the rule does nothing
      10 |     actions: []
         |              ^
      help: leave the field out to mean `see_tool` and `call_tool`; a rule that denies then means all
    "#);
    assert_snapshot!(error("rules: [{name: r, effect: alow, tools: ['*']}]"), @r#"
    p.yaml:1:27: expected one of `allow`, `deny`, found `alow`
      1 | rules: [{name: r, effect: alow, tools: ['*']}]
        |                           ^^^^
      help: did you mean `allow`?
    "#);
    assert_snapshot!(error("rules:\n  - name: r\n    efect: allow\n    tools: ['*']"), @r#"
    p.yaml:3:5: unknown field `efect`
      3 |     efect: allow
        |     ^^^^^
      help: did you mean `effect`?
    "#);
    assert_snapshot!(error("rules:\n  - name: r\n    effect: allow"), @r#"
    p.yaml:3:5: the field `tools` is missing
      3 |     effect: allow
        |     ^
    "#);
    assert_snapshot!(error("tests: [{caller: {user: a}, tool: read, expect: deny}]"), @r#"
    p.yaml:1:35: expected `server/tool`
      1 | tests: [{caller: {user: a}, tool: read, expect: deny}]
        |                                   ^^^^
    "#);
}

#[test]
fn a_rules_name_is_unique_over_all_files() {
    let rule = "rules: [{name: r, effect: allow, tools: ['*']}]";
    let error = Policy::load(&[source("a.yaml", rule), source("b.yaml", rule)]).unwrap_err();
    assert_snapshot!(error, @r#"
    b.yaml:1:16: a second rule is called `r`
      1 | rules: [{name: r, effect: allow, tools: ['*']}]
        |                ^
      note: the first one is at a.yaml:1:16
    "#);
}

/// Rules over small alphabets, so that they meet often.
fn rule() -> impl Strategy<Value = String> {
    let maybe = |field: &'static str, values: Vec<&'static str>| {
        prop::option::of(prop::sample::select(values))
            .prop_map(move |value| value.map(|value| format!(", {field}: ['{value}']")).unwrap_or_default())
    };
    (
        prop::bool::ANY,
        maybe("users", vec!["a", "b", "*"]),
        maybe("groups", vec!["g", "h*"]),
        maybe("keys", vec!["k", "?"]),
        prop::sample::select(vec!["*", "s/*", "*/t", "s/t", "{s,u}/[tv]"]),
        maybe("actions", vec!["see_tool", "call_tool"]),
    )
        .prop_map(|(allow, users, groups, keys, tools, actions)| {
            let effect = if allow { "allow" } else { "deny" };
            format!("effect: {effect}{users}{groups}{keys}, tools: ['{tools}']{actions}")
        })
}

fn with_rules<'a>(rules: impl Iterator<Item = (usize, &'a String)>) -> Policy {
    let lines: Vec<String> = rules.map(|(name, rule)| format!("  - {{ name: r{name}, {rule} }}\n")).collect();
    policy(&format!("rules:\n{}", if lines.is_empty() { "  []".into() } else { lines.concat() }))
}

/// What the policy says to every question over the small alphabets.
fn answers(policy: &Policy) -> Vec<Result<String, Denial>> {
    let mut answers = vec![];
    for (user, key, group) in [("a", "k", "g"), ("b", "k", "h1"), ("c", "kk", "x")] {
        for (server, name) in [("s", "t"), ("u", "v"), ("s", "v"), ("w", "w")] {
            for action in [Action::SeeTool, Action::CallTool, Action::Administer] {
                let answer = policy.rules.decide(&caller(user, &[group], key), action, &tool(server, name));
                answers.push(answer.map(str::to_owned));
            }
        }
    }
    answers
}

proptest! {
    #[test]
    fn another_deny_never_allows_more(rules in prop::collection::vec(rule(), 0..6), deny in rule()) {
        let deny = deny.replace("effect: allow", "effect: deny");
        let before = answers(&with_rules(rules.iter().enumerate()));
        let after = answers(&with_rules(rules.iter().chain([&deny]).enumerate()));
        for (before, after) in before.iter().zip(&after) {
            prop_assert!(before.is_ok() || after.is_err());
        }
    }

    #[test]
    fn the_order_of_rules_means_nothing(rules in prop::collection::vec(rule(), 0..6)) {
        let forwards = answers(&with_rules(rules.iter().enumerate()));
        let backwards = answers(&with_rules(rules.iter().enumerate().rev()));
        prop_assert_eq!(forwards, backwards);
    }
}

#[test]
fn f58_before_its_tools_are_known_a_server_is_known_to_those_who_may_see_one() {
    let policy = policy(
        "rules:
  - { name: a, effect: allow, tools: ['git{hub,lab}/get_*'], users: [alice] }
  - { name: b, effect: allow, tools: ['*'], users: [bob] }
  - { name: c, effect: deny, tools: ['gitlab/*', 'github/delete_*'] }
  - { name: d, effect: allow, tools: ['*'], actions: [administer] }",
    );
    let knows = |user: &str| {
        let caller = caller(user, &[], "k");
        ["github", "gitlab", "mail"].map(|server| policy.may_know(&caller, server))
    };
    assert_eq!(knows("alice"), [true, false, false]);
    assert_eq!(knows("bob"), [true, false, true]);
    assert_eq!(knows("carol"), [false; 3]);
}

#[test]
fn only_a_rule_about_everything_lets_a_caller_read_the_records() {
    let allows =
        |rules: &str| policy(&format!("rules: [{rules}]")).may_read_audit(&caller("a", &[], "k")).is_ok();
    let everything = "{name: a, effect: allow, tools: ['*'], actions: [read_audit]}";
    assert!(allows(everything));
    assert!(allows("{name: a, effect: allow, tools: ['*/*'], actions: [read_audit]}"));
    assert!(!allows("{name: a, effect: allow, tools: ['github/*'], actions: [read_audit]}"));
    assert!(!allows("{name: a, effect: allow, tools: ['*']}"));
    assert!(!allows("{name: a, effect: allow, tools: ['*'], actions: [administer]}"));
    assert!(!allows(&format!("{everything}, {{name: b, effect: deny, tools: ['*']}}")));
    assert!(allows(&format!("{everything}, {{name: b, effect: deny, tools: ['github/*']}}")));
}
