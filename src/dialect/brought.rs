//! What a request brings for the records: the application's instructions, what the user says now, and whose calls it
//! answers. All that stands before the model's last words was brought by an earlier request.

/// What a request brings that the records keep.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Brought {
    /// The application's instructions: those that the conversation begins with, and those that are new.
    pub system: Vec<String>,
    /// What the user wrote last, if this request brings something new of the user's.
    pub prompt: Option<String>,
    /// The ids of the client's calls whose results it brings.
    pub results: Vec<String>,
}

/// What one message or item of a history is to the records.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// The model's own words or calls.
    Assistants,
    /// Instructions.
    System(String),
    /// What the user says; empty where that is no text.
    User(String),
    /// The result of the call with this id.
    Result(String),
}

/// More results than this are not named.
const RESULTS: usize = 128;

/// What stands between two texts of one kind.
const BETWEEN: &str = "\n\n";

/// Reads what a history's elements bring, in their order. Only the first of them and the last are read.
pub fn brought<'a>(elements: &[&'a str], read: impl Fn(&'a str) -> Vec<Line>) -> Brought {
    let mut rest = elements;
    let mut first: Vec<String> = Vec::new();
    while let [element, behind @ ..] = rest {
        let lines = read(element);
        if lines.is_empty() || !lines.iter().all(|line| matches!(line, Line::System(_))) {
            break;
        }
        first.extend(lines.into_iter().filter_map(Line::into_system));
        rest = behind;
    }
    let mut brought = Brought { system: joined(first), ..Brought::default() };
    let mut new: Vec<String> = Vec::new();
    for line in latest(rest, read) {
        match line {
            Line::System(text) => new.push(text),
            Line::User(text) if text.is_empty() => {}
            Line::User(text) => brought.prompt = Some(text),
            Line::Result(id) if brought.results.len() < RESULTS => brought.results.push(id),
            Line::Assistants | Line::Result(_) => {}
        }
    }
    brought.system.extend(joined(new));
    brought
}

/// What came after the model's last words. With words of the model's at its very end, the client begins the answer in
/// the model's stead: what comes before them is new.
fn latest<'a>(elements: &[&'a str], read: impl Fn(&'a str) -> Vec<Line>) -> Vec<Line> {
    let mut latest: Vec<Vec<Line>> = Vec::new();
    for element in elements.iter().rev() {
        let lines = read(element);
        if !lines.contains(&Line::Assistants) {
            latest.push(lines);
        } else if !latest.is_empty() {
            break;
        }
    }
    latest.into_iter().rev().flatten().collect()
}

fn joined(texts: Vec<String>) -> Vec<String> {
    let texts: Vec<String> = texts.into_iter().filter(|text| !text.is_empty()).collect();
    if texts.is_empty() { texts } else { vec![texts.join(BETWEEN)] }
}

impl Line {
    fn into_system(self) -> Option<String> {
        if let Self::System(text) = self { Some(text) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a` the assistant, `s:…` the system, `u:…` the user, `r:…` a result.
    fn read(element: &str) -> Vec<Line> {
        let line = |part: &str| match part.split_once(':') {
            Some(("s", text)) => Line::System(text.to_owned()),
            Some(("u", text)) => Line::User(text.to_owned()),
            Some((_, id)) => Line::Result(id.to_owned()),
            None => Line::Assistants,
        };
        element.split('|').filter(|part| !part.is_empty()).map(line).collect()
    }

    fn of(elements: &str) -> (Vec<String>, Option<String>, Vec<String>) {
        let elements: Vec<&str> = elements.split(' ').collect();
        let Brought { system, prompt, results } = brought(&elements, read);
        (system, prompt, results)
    }

    #[test]
    fn f47_the_prompt_is_what_the_user_said_last_and_not_before() {
        let prompt = |elements: &str| of(elements).1.unwrap_or_default();
        assert_eq!(prompt("s:x u:first"), "first");
        assert_eq!(prompt("u:first a u:second"), "second");
        assert_eq!(prompt("u:context u:question"), "question");
        assert_eq!(prompt("u:first a r:1 r:2"), "", "its interception has recorded it");
        assert_eq!(prompt("u:first a r:1|u:and"), "and");
        assert_eq!(prompt("u:first a u:steer r:1"), "steer");
        assert_eq!(prompt("u:first a u:second u:"), "second", "an image says nothing");
        assert_eq!(prompt("u:first a u:second a a"), "second", "the client has begun the answer");
        assert_eq!(prompt("a"), "");
    }

    #[test]
    fn instructions_are_those_at_the_beginning_and_those_that_are_new() {
        assert_eq!(of("s:a s:b u:q s:old a u:r").0, ["a\n\nb"]);
        assert_eq!(of("s:a u:q a u:r s:new").0, ["a", "new"]);
        assert_eq!(of("s:a").0, ["a"]);
    }

    #[test]
    fn results_are_those_of_the_last_turn() {
        assert_eq!(of("u:q a r:1 a r:2|r:3|u:x").2, ["2", "3"]);
        assert_eq!(of(&"r:x ".repeat(1000)).2.len(), RESULTS);
    }
}
