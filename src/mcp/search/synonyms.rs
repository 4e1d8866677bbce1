//! Words that mean the same where tools are concerned: who asks for one is also shown the others, further down.

use std::sync::LazyLock;

use super::words::words;

/// How much a word counts that was not asked for itself.
const WEIGHT: f32 = 0.35;

/// Each line is one meaning: who asks for one of its words or phrases asks for all of them. Of a phrase, all words
/// must be asked for.
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

/// The lines as words, each phrase in its parts.
static SPELLED: LazyLock<Vec<Vec<Vec<String>>>> = LazyLock::new(|| {
    let spelled = |meaning: &&[&str]| meaning.iter().map(|word| words(word)).collect();
    MEANINGS.iter().map(spelled).collect()
});

/// The words that mean what these do, each with its weight.
pub(super) fn of(asked: &[String]) -> Vec<(String, f32)> {
    let is_asked =
        |phrase: &Vec<String>| !phrase.is_empty() && phrase.iter().all(|part| asked.contains(part));
    let meant = SPELLED.iter().filter(|meaning| meaning.iter().any(is_asked));
    meant.flatten().flatten().map(|word| (word.clone(), WEIGHT)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_brings_those_that_mean_the_same() {
        let meant =
            |question: &str| of(&words(question)).into_iter().map(|(word, _)| word).collect::<Vec<_>>();
        assert!(meant("remove the folder").contains(&"delet".into()));
        assert!(meant("deleted directories").contains(&"folder".into()));
        assert!(meant("a pull request").contains(&"pr".into()));
        assert!(!meant("a request").contains(&"pr".into()), "a phrase counts as a whole");
        assert!(meant("weather").is_empty());
    }
}
