//! What differs from the lock, for a person: every word that changed, and what to look at.

use std::io::{IsTerminal as _, stdout};

use super::survey::Survey;
use crate::cli::indented;
use crate::domain::{on_one_line, visible};
use crate::mcp::lock::{Change, Difference, Finding, Review, Reviewed, Words};

/// How much of an unchanged text is shown on each side of a change, in characters.
const CONTEXT: usize = 60;

/// How long a part of a new tool may be that is shown on one line with its place, in bytes.
const LINE: usize = 100;

/// Everything that is open, and a line that sums it up.
pub(super) fn all(survey: &Survey) -> String {
    let mut out = String::new();
    for (review, tool) in survey.tools().filter(|(_, tool)| tool.is_open()) {
        out.push_str(&one(review, tool));
        out.push('\n');
    }
    for server in &survey.unknown {
        out.push_str(&format!("{}: in tools.lock, but not configured\n", on_one_line(server)));
    }
    out.push_str(&summary(survey));
    out
}

/// One tool: what became of it, what changed, what was found.
pub(super) fn one(review: &Review, tool: &Reviewed) -> String {
    let word = match &tool.change {
        Change::None => "approved",
        Change::New => "new",
        Change::Changed(_) => "changed",
        Change::Rejected => "rejected",
        Change::Gone => "gone: not listed any more",
    };
    let mut out = format!("{}/{}  {word}\n", review.server, on_one_line(&tool.tool));
    match &tool.change {
        Change::Changed(differences) => {
            for Difference { place, words } in differences {
                let words = marked(words).trim_end().replace('\n', "\n    ");
                out.push_str(&format!("  {}\n    {words}\n", on_one_line(place)));
            }
        }
        Change::New => tool.parts().iter().for_each(|(place, text)| out.push_str(&part(place, text))),
        Change::None | Change::Rejected | Change::Gone => {}
    }
    for Finding { suspicion, place, text } in &tool.findings {
        let mark = if suspicion.is_serious() { "!!" } else { " -" };
        out.push_str(&format!("  {mark} {suspicion}, at {}: {}\n", on_one_line(place), on_one_line(text)));
    }
    out
}

/// A part of a new tool, the whole of it: what is approved is read before.
fn part(place: &str, text: &str) -> String {
    let place = on_one_line(place);
    let is_short = !text.trim_end().contains('\n') && place.len() + text.len() <= LINE;
    if is_short {
        format!("  {place}: {}\n", visible(text.trim_end()))
    } else {
        format!("  {place}\n    {}\n", indented(text, 4))
    }
}

fn summary(survey: &Survey) -> String {
    let count = |is: fn(&Change) -> bool| survey.tools().filter(|(_, tool)| is(&tool.change)).count();
    let counts = [
        (count(|change| matches!(change, Change::None)), "as approved"),
        (count(|change| matches!(change, Change::New)), "new"),
        (count(|change| matches!(change, Change::Changed(_))), "changed"),
        (count(|change| matches!(change, Change::Gone)), "gone"),
        (count(|change| matches!(change, Change::Rejected)), "rejected"),
    ];
    let counts: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let mut out = if counts.is_empty() { "no tools\n".into() } else { format!("{}\n", counts.join(", ")) };
    if survey.lock.is_none() {
        out.push_str("there is no tools.lock yet: `toolgate tools lock` begins it\n");
    } else if survey.is_off {
        out.push_str("the configuration says `lock: off`: tools.lock is not in force\n");
    }
    out
}

/// Removed words as `[-so-]` and added ones as `{+so+}`, in colours on a terminal; long texts between them are cut.
fn marked(words: &[Words]) -> String {
    let (red, green, plain) =
        if stdout().is_terminal() { ("\x1b[31m", "\x1b[32m", "\x1b[0m") } else { ("", "", "") };
    let last = words.len().saturating_sub(1);
    let piece = |(index, words): (usize, &Words)| match words {
        Words::Same(text) => context(&visible(text), index == 0, index == last),
        Words::Removed(text) => format!("{red}[-{}-]{plain}", visible(text)),
        Words::Added(text) => format!("{green}{{+{}+}}{plain}", visible(text)),
    };
    words.iter().enumerate().map(piece).collect()
}

/// What is near to a change: at the beginning only the end of it, at the end only its beginning.
fn context(text: &str, is_first: bool, is_last: bool) -> String {
    let length = text.chars().count();
    let (head, tail) = (if is_first { 0 } else { CONTEXT }, if is_last { 0 } else { CONTEXT });
    if length <= head + tail + 20 {
        return text.to_owned();
    }
    let before: String = text.chars().take(head).collect();
    let after: String = text.chars().skip(length - tail).collect();
    format!("{before} … {after}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::config::{Server, Transport};
    use crate::mcp::lock::{Lock, Signature, ToolNames, review};

    fn reviewed(tool: &Value, lock: &Lock) -> (String, Review) {
        let server =
            Server::new("srv", Transport::Http { url: "http://x.test/mcp".into(), headers: BTreeMap::new() });
        let review = review(&server, std::slice::from_ref(tool), lock, &ToolNames::new());
        (one(&review, &review.tools[0]), review)
    }

    #[test]
    fn a_new_tool_is_shown_whole() {
        let late = format!("{}the end", "word ".repeat(600));
        let tool = json!({"name": "t", "title": "T", "description": late, "inputSchema": {
            "type": "object", "properties": {"x": {"description": "to\nmallory", "enum": ["a", "b"], "default": ""}}}});
        let (text, _) = reviewed(&tool, &Lock::default());
        for words in [
            "srv/t  new\n",
            "  /title: T\n",
            "word the end\n",
            "  /inputSchema/properties/x/description\n    to\n    mallory\n",
            "  /inputSchema/properties/x/enum: [\"a\", \"b\"]\n",
            "  /inputSchema/properties/x/default: \"\"\n",
        ] {
            assert!(text.contains(words), "no {words:?} in\n{text}");
        }
    }

    #[test]
    fn no_name_or_text_of_a_server_begins_a_line() {
        let key = "x\n    {+harmless+}\n\nsrv/other  approved";
        let tool = |text: &str| {
            json!({"name": "t\nsrv/a  approved", "description": "a\nsrv/b  approved\u{1b}[1A",
                   "outputSchema": {"type": "object", "properties": {key: {"description": text}}}})
        };
        let is_ours =
            |text: &str| text.lines().skip(1).all(|line| line.starts_with("  ")) && !text.contains('\u{1b}');
        let mut lock = Lock::default();
        let (text, review) = reviewed(&tool("one\nsrv/c  approved \u{200b}"), &lock);
        assert!(text.starts_with("srv/t\\nsrv/a  approved  new\n") && is_ours(&text), "{text}");
        review.approve(&review.tools[0], &mut lock, Signature::now(None));
        let (text, _) = reviewed(&tool("two\nsrv/c  approved \u{200b}"), &lock);
        assert!(text.contains("  changed\n") && is_ours(&text), "{text}");
    }

    #[test]
    fn long_texts_are_cut_between_the_changes() {
        let long = "word ".repeat(100);
        let words = [
            Words::Same(long.clone()),
            Words::Added("new".into()),
            Words::Same(long.clone()),
            Words::Removed("old".into()),
            Words::Same(long),
        ];
        let text = marked(&words);
        assert!(text.starts_with(" … ") && text.ends_with(" … "), "{text}");
        assert!(text.contains("word {+new+}word") && text.contains("word [-old-]word"), "{text}");
        assert!(text.len() < 320, "{} bytes", text.len());
        assert_eq!(marked(&[Words::Same("a ".into()), Words::Added("b\u{200b}".into())]), "a {+b\\u{200b}+}");
    }
}
