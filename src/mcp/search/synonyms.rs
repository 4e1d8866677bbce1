//! Words that mean the same where tools are concerned: who asks for one is also shown the others, further down.

use super::words::words;

/// How much a word counts that was not asked for itself.
const WEIGHT: f32 = 0.35;

/// Each line is one meaning. Words of a line that is one question's word stand for each other; a phrase is a word
/// of several parts, all of which must be asked for.
const MEANINGS: [&[&str]; 40] = [
    &["create", "add", "make", "new", "open", "insert", "generate", "start"],
    &["delete", "remove", "drop", "erase", "forget", "clear", "kill", "unlink"],
    &["update", "edit", "modify", "change", "patch", "set"],
    &["get", "read", "fetch", "retrieve", "show", "view", "open", "load"],
    &["list", "all", "enumerate", "browse"],
    &["search", "find", "lookup", "query"],
    &["run", "execute", "exec", "launch", "start", "trigger"],
    &["send", "post", "publish", "submit"],
    &["copy", "duplicate", "clone"],
    &["rename", "move"],
    &["convert", "transform"],
    &["verify", "validate", "check", "test"],
    &["draw", "plot", "visualize", "visualise", "generate"],
    &["chart", "graph", "diagram", "plot", "graphic"],
    &["folder", "directory"],
    &["picture", "image", "photo", "png"],
    &["screenshot", "capture"],
    &["email", "mail"],
    &["repo", "repository"],
    &["pr", "pull request"],
    &["ci", "status checks"],
    &["db", "database"],
    &["k8s", "kubernetes", "cluster"],
    &["docs", "documentation"],
    &["js", "javascript"],
    &["url", "link", "website", "site", "page"],
    &["web", "internet", "online"],
    &["comment", "reply", "discussion"],
    &["bug", "issue", "ticket"],
    &["user", "person", "people", "member"],
    &["appointment", "meeting", "booking"],
    &["book", "schedule", "reserve"],
    &["buy", "purchase"],
    &["color", "colour"],
    &["memory", "remember"],
    &["article", "post"],
    &["popup", "dialog", "alert"],
    &["diff", "compare", "difference"],
    &["hex", "hexadecimal"],
    &["size", "big", "large"],
];

/// The words that mean what these do, each with its weight.
pub(super) fn of(asked: &[String]) -> Vec<(String, f32)> {
    let mut others = Vec::new();
    for meaning in MEANINGS {
        let spelled: Vec<Vec<String>> = meaning.iter().map(|word| words(word)).collect();
        if spelled.iter().any(|word| !word.is_empty() && word.iter().all(|part| asked.contains(part))) {
            others.extend(spelled.into_iter().flatten().map(|word| (word, WEIGHT)));
        }
    }
    others
}
