//! Text to words, the same for what is searched and for what is asked.

/// The longest word that is kept, in bytes: anything longer is data.
const MAX_WORD: usize = 64;

/// Words that say nothing about what a tool does, sorted.
const STOP_WORDS: [&str; 64] = [
    "a", "about", "all", "an", "and", "any", "are", "as", "at", "be", "been", "being", "by", "can", "could",
    "did", "do", "does", "for", "from", "had", "has", "have", "how", "i", "if", "in", "into", "is", "it",
    "its", "me", "my", "need", "of", "on", "one", "or", "our", "please", "should", "so", "some", "that",
    "the", "their", "them", "then", "there", "these", "they", "this", "to", "tool", "via", "was", "we",
    "what", "which", "will", "with", "would", "you", "your",
];

/// The words of a text, in its order: parts of identifiers, stemmed, and of an identifier of several parts also
/// each two neighbours and the whole, in one spelling whether it was written `createIssue`, `create_issue` or
/// `create-issue`; so that `mindmap` finds `mind_map`. Of scripts without spaces, each two neighbouring characters.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let is_joined = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    for identifier in text.split(|c| !is_joined(c)).filter(|identifier| !identifier.is_empty()) {
        let mut parts = Vec::new();
        for run in identifier.split(['_', '-']) {
            split(run, &mut parts);
        }
        for part in &parts {
            add_part(part, &mut words);
        }
        if parts.len() > 1 && identifier.is_ascii() && identifier.len() <= MAX_WORD {
            words.extend(parts.windows(2).map(<[String]>::concat));
            if parts.len() > 2 {
                words.push(parts.concat());
            }
        }
    }
    words
}

/// Takes a run of letters and digits apart. Case is looked at before it is given up.
fn split(run: &str, parts: &mut Vec<String>) {
    let chars: Vec<char> = run.chars().collect();
    let mut start = 0;
    for end in 1..=chars.len() {
        if end == chars.len() || ends_part(&chars, end) {
            parts.push(chars[start..end].iter().flat_map(|c| c.to_lowercase()).collect());
            start = end;
        }
    }
}

/// Whether a part ends before this place: `create|Issue`, `HTTP|Server`, `base|64`, and wherever the script changes.
fn ends_part(chars: &[char], at: usize) -> bool {
    let (before, after) = (chars[at - 1], chars[at]);
    let ends_capitals = before.is_uppercase()
        && after.is_uppercase()
        && chars.get(at + 1).is_some_and(|next| next.is_lowercase());
    (before.is_lowercase() && after.is_uppercase())
        || ends_capitals
        || before.is_numeric() != after.is_numeric()
        || has_no_spaces(before) != has_no_spaces(after)
}

/// Adds a part as the words that it stands for.
fn add_part(part: &str, words: &mut Vec<String>) {
    if part.starts_with(has_no_spaces) {
        let chars: Vec<char> = part.chars().collect();
        words.extend(chars.windows(2.min(chars.len())).map(|pair| pair.iter().collect::<String>()));
    } else if part.len() <= MAX_WORD && STOP_WORDS.binary_search(&part).is_err() {
        words.push(stem(part));
    }
}

/// Whether a character is of a script that writes words without spaces between them: Chinese, Japanese, Korean, Thai.
fn has_no_spaces(c: char) -> bool {
    matches!(u32::from(c),
        0x0E00..=0x0E7F | 0x1100..=0x11FF | 0x3040..=0x30FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF
        | 0xAC00..=0xD7AF | 0xF900..=0xFAFF | 0x2_0000..=0x3_FFFF)
}

/// Takes off the endings that English verbs and plurals have, so that `deleting`, `deletes`, `deletion` and `delete`
/// are one word. Rough on purpose: what matters is that both sides are treated alike.
fn stem(word: &str) -> String {
    if word.len() < 4 || !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return word.to_owned();
    }
    let singular = without_plural(word);
    let base = without_verb_ending(&singular);
    let base =
        base.strip_suffix("ion").filter(|rest| rest.len() > 3 && rest.ends_with(['t', 's'])).unwrap_or(base);
    let base = undoubled(base);
    base.strip_suffix('e').filter(|rest| rest.len() > 2).unwrap_or(base).to_owned()
}

fn without_plural(word: &str) -> String {
    if let Some(rest) = word.strip_suffix("ies").filter(|rest| rest.len() > 1) {
        return format!("{rest}y");
    }
    let hisses = |rest: &&str| ["ss", "sh", "ch", "x", "zz"].iter().any(|end| rest.ends_with(end));
    if let Some(rest) = word.strip_suffix("es").filter(hisses) {
        return rest.to_owned();
    }
    let is_plural = |rest: &&str| !rest.ends_with(['s', 'u', 'i']);
    word.strip_suffix('s').filter(is_plural).unwrap_or(word).to_owned()
}

fn without_verb_ending(word: &str) -> &str {
    let is_verb =
        |rest: &&str| rest.len() > 2 && rest.contains(['a', 'e', 'i', 'o', 'u', 'y']) && !rest.ends_with('e');
    let ending = ["ing", "ed"].into_iter().find_map(|ending| word.strip_suffix(ending).filter(is_verb));
    ending.unwrap_or(word)
}

/// `runn` is `run`.
fn undoubled(word: &str) -> &str {
    let bytes = word.as_bytes();
    let is_doubled = bytes.len() > 3
        && bytes[bytes.len() - 1] == bytes[bytes.len() - 2]
        && matches!(bytes[bytes.len() - 1], b'b' | b'd' | b'g' | b'm' | b'n' | b'p' | b'r' | b't');
    if is_doubled { &word[..word.len() - 1] } else { word }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_split_before_case_is_given_up() {
        assert_eq!(words("createIssue"), ["creat", "issu", "createissue"]);
        assert_eq!(
            words("HTTPServerError"),
            ["http", "server", "error", "httpserver", "servererror", "httpservererror"]
        );
        assert_eq!(
            words("list_pull-requests"),
            ["list", "pull", "request", "listpull", "pullrequests", "listpullrequests"]
        );
        assert_eq!(words("API-get-user"), ["api", "get", "user", "apiget", "getuser", "apigetuser"]);
        assert_eq!(words("base64"), ["bas", "64", "base64"]);
        assert_eq!(words("issues/list"), ["issu", "list"]);
    }

    #[test]
    fn one_identifier_is_one_word_however_it_is_spelled() {
        let whole = |text: &str| words(text).pop();
        for spelling in ["create_issue", "create-issue", "createIssue", "CreateIssue"] {
            assert_eq!(whole(spelling), Some("createissue".into()), "{spelling}");
        }
    }

    #[test]
    fn forms_of_a_word_are_one_word() {
        for forms in [
            &["delete", "deletes", "deleted", "deleting", "deletion"][..],
            &["run", "runs", "running"],
            &["query", "queries"],
            &["branch", "branches"],
            &["commit", "commits", "committed", "committing"],
            &["translate", "translation", "translations", "translating"],
            &["file", "files"],
            &["list", "listing", "lists"],
        ] {
            let stems: Vec<String> = forms.iter().map(|form| stem(form)).collect();
            assert!(stems.iter().all(|stem| *stem == stems[0]), "{stems:?}");
        }
        for word in ["string", "status", "need", "use", "class", "feed", "ring"] {
            assert_eq!(stem(word), word);
        }
    }

    #[test]
    fn scripts_without_spaces_are_taken_in_pairs() {
        assert_eq!(words("検索する"), ["検索", "索す", "する"]);
        assert_eq!(words("查 PDF文件"), ["查", "pdf", "文件"]);
        assert_eq!(words("über Straße"), ["über", "straße"]);
    }

    #[test]
    fn what_says_nothing_is_left_out() {
        assert_eq!(words("I need to find the time, please!"), ["find", "tim"]);
        assert!(STOP_WORDS.is_sorted());
        assert!(words(" … !? ").is_empty());
        assert!(words(&"x".repeat(100)).is_empty());
    }
}
