//! The names of tools as models see them: safe for every provider, unique in the catalogue, never parsed.

use std::collections::HashMap;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::search::{CALL_TOOL, FIND_TOOLS};
use crate::domain::ToolRef;

/// The shortest limit among the providers, in characters.
const MAX_LENGTH: usize = 64;

/// Hex digits of the digest at each step of telling tools apart. The first step has none; one that needs
/// the last is practically impossible.
const DIGEST_LENGTHS: [usize; 4] = [0, 8, 16, 56];

/// What the gateway's own tools are called, whatever the pattern.
const TAKEN: [&str; 2] = [FIND_TOOLS, CALL_TOOL];

/// Gives each tool its name, in the order of `tools`, which must not repeat.
///
/// `pattern` holds `{server}` and `{tool}`. Tools whose names would be the same all get a digest of server
/// and tool instead of one keeping the plain name, so that no name depends on the order of the tools.
pub(super) fn assign(pattern: &str, tools: &[ToolRef]) -> Vec<String> {
    let mut steps = vec![0; tools.len()];
    loop {
        let names: Vec<String> =
            tools.iter().zip(&steps).map(|(tool, step)| name(pattern, tool, DIGEST_LENGTHS[*step])).collect();
        let mut count: HashMap<&str, usize> = TAKEN.into_iter().map(|name| (name, 1)).collect();
        for name in &names {
            *count.entry(name).or_default() += 1;
        }
        let mut settled = true;
        for (name, step) in names.iter().zip(&mut steps) {
            if count.get(name.as_str()).is_some_and(|count| *count > 1) && *step + 1 < DIGEST_LENGTHS.len() {
                *step += 1;
                settled = false;
            }
        }
        if settled {
            return names;
        }
    }
}

fn name(pattern: &str, tool: &ToolRef, digest_length: usize) -> String {
    let wanted = pattern.replace("{server}", &tool.server).replace("{tool}", &tool.tool);
    let mut name: String = wanted.chars().map(|c| if is_safe(c) { c } else { '_' }).collect();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        name.insert(0, '_');
    }
    let digest_length = if name.len() > MAX_LENGTH { digest_length.max(8) } else { digest_length };
    if digest_length > 0 {
        name.truncate(MAX_LENGTH - 1 - digest_length);
        name.push('_');
        name.push_str(&digest(tool)[..digest_length]);
    }
    name
}

fn is_safe(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn digest(tool: &ToolRef) -> String {
    let hash = Sha256::new().chain_update(&tool.server).chain_update([0]).chain_update(&tool.tool).finalize();
    hash.iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn tool(server: &str, tool: &str) -> ToolRef {
        ToolRef { server: server.into(), tool: tool.into() }
    }

    fn assign_default(tools: &[ToolRef]) -> Vec<String> {
        assign("{server}__{tool}", tools)
    }

    #[test]
    fn a_plain_name_stays_readable() {
        assert_eq!(assign_default(&[tool("github", "get_issue")]), ["github__get_issue"]);
        assert_eq!(assign("{tool}", &[tool("github", "get_issue")]), ["get_issue"]);
    }

    #[test]
    fn the_names_of_the_gateways_own_tools_are_taken() {
        for own in TAKEN {
            let name = assign("{tool}", &[tool("srv", own)]).remove(0);
            assert!(name.starts_with(&format!("{own}_")), "{name}");
        }
    }

    #[test]
    fn what_providers_reject_becomes_an_underscore() {
        assert_eq!(
            assign_default(&[tool("odd", "admin.tools.list"), tool("odd", "files/läs")]),
            ["odd__admin_tools_list", "odd__files_l_s"]
        );
        assert_eq!(assign("{tool}", &[tool("calc", "2fa"), tool("calc", "")]), ["_2fa", "_"]);
    }

    #[test]
    fn a_long_name_is_shortened_with_a_digest() {
        let long = "x".repeat(100);
        let name = assign_default(&[tool("srv", &long)]).remove(0);
        assert_eq!(name.len(), 64);
        assert!(name.starts_with("srv__xxxx"));
        let other = assign_default(&[tool("srv", &format!("{long}y"))]).remove(0);
        assert_ne!(name, other, "tools that differ after the cut have different names");
    }

    #[test]
    fn f37_tools_that_collapse_to_one_name_all_get_a_digest() {
        let tools = [tool("files", "create.file"), tool("files", "create/file")];
        let names = assign_default(&tools);
        assert_ne!(names[0], names[1]);
        for name in &names {
            assert!(name.starts_with("files__create_file_"), "{name}");
        }
        let swapped = assign_default(&[tools[1].clone(), tools[0].clone()]);
        assert_eq!((&names[0], &names[1]), (&swapped[1], &swapped[0]), "the order does not matter");
    }

    #[test]
    fn f37_the_split_between_server_and_tool_does_not_matter() {
        let names = assign_default(&[tool("a", "b__c"), tool("a__b", "c")]);
        assert_ne!(names[0], names[1]);
    }

    #[test]
    fn f37_a_tool_cannot_take_the_digest_name_of_another() {
        let digested = assign_default(&[tool("s", "a.b"), tool("s", "a/b")]).remove(0);
        let imposter = digested.strip_prefix("s__").unwrap();
        let names = assign_default(&[tool("s", "a.b"), tool("s", "a/b"), tool("s", imposter)]);
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), 3, "{names:?}");
    }

    proptest! {
        #[test]
        fn f37_names_are_valid_unique_and_independent_of_order(
            tools in prop::collection::hash_set(("[a-c_.]{1,3}", "[a-cA-C_./ é-]{0,4}|[a-z./]{55,90}"), 1..40),
            pattern in prop::sample::select(vec!["{server}__{tool}", "{tool}", "mcp_{server}_{tool}", "{tool}-{server}"]),
        ) {
            let tools: Vec<_> = tools.iter().map(|(s, t)| tool(s, t)).collect();
            let names = assign(pattern, &tools);
            let valid = regex::Regex::new("^[a-zA-Z_][a-zA-Z0-9_-]{0,63}$").unwrap();
            prop_assert!(names.iter().all(|name| valid.is_match(name)), "{:?}", names);
            prop_assert_eq!(names.iter().collect::<HashSet<_>>().len(), tools.len());
            let reversed: Vec<_> = tools.iter().rev().cloned().collect();
            let mut again = assign(pattern, &reversed);
            again.reverse();
            prop_assert_eq!(names, again);
        }
    }
}
