//! Finds names in texts, as whole words in any letter case; how many names there are costs nothing.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

/// Names to be found; each begins and ends with a letter, a digit, `_` or `-`.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: HashSet<String>,
    /// How long those are that begin with a word, in characters.
    lengths: HashMap<String, BTreeSet<usize>>,
}

impl Names {
    /// Prepares these names.
    pub(super) fn new<'a>(names: impl IntoIterator<Item = &'a String>) -> Self {
        let mut all = Self::default();
        for name in names {
            let name: Vec<char> = name.trim_matches(|c| !is_word(c)).chars().map(fold).collect();
            if !name.is_empty() {
                all.lengths.entry(first_word(&name)).or_default().insert(name.len());
                all.names.insert(name.into_iter().collect());
            }
        }
        all
    }

    /// Where the first of them stands, in bytes.
    pub(super) fn first_in(&self, text: &str) -> Option<Range<usize>> {
        if self.names.is_empty() {
            return None;
        }
        let (mut places, chars): (Vec<usize>, Vec<char>) =
            text.char_indices().map(|(place, c)| (place, fold(c))).unzip();
        places.push(text.len());
        let begins = |at: usize| is_word(chars[at]) && (at == 0 || !is_word(chars[at - 1]));
        (0..chars.len()).filter(|at| begins(*at)).find_map(|at| {
            let length = self.length_at(&chars[at..])?;
            Some(places[at]..places[at + length])
        })
    }

    /// How long the name is that this begins with.
    fn length_at(&self, chars: &[char]) -> Option<usize> {
        let is_one = |length: usize| {
            let Some(name) = chars.get(..length) else { return false };
            let is_whole = chars.get(length).is_none_or(|c| !is_word(*c));
            is_whole && self.names.contains(&name.iter().collect::<String>())
        };
        self.lengths.get(&first_word(chars))?.iter().copied().rev().find(|length| is_one(*length))
    }
}

fn first_word(chars: &[char]) -> String {
    chars.iter().take_while(|c| is_word(**c)).collect()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-')
}

/// One character for one, so that places stay.
fn fold(c: char) -> char {
    match c {
        'ſ' => 's',
        c => c.to_lowercase().next().unwrap_or(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'a>(names: &[&str], text: &'a str) -> Option<&'a str> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Names::new(&names).first_in(text).map(|place| &text[place])
    }

    #[test]
    fn whole_names_are_found_in_any_letter_case() {
        let names = ["send_mail", "repo.get", "repo.get/all", "@x/readFile", "größe_ä"];
        for (text, name) in [
            ("Then Send_Mail.", Some("Send_Mail")),
            ("ſend_mail", Some("ſend_mail")),
            ("İ: `repo.get`", Some("repo.get")),
            ("repo.get/all of it", Some("repo.get/all")),
            ("calls @x/readfile", Some("x/readfile")),
            ("GRÖSSE_Ä GRÖßE_Ä", Some("GRÖßE_Ä")),
            ("resend_mail send_mails repo.gets repo. get send-send_mail", None),
            ("", None),
        ] {
            assert_eq!(found(&names, text), name, "{text}");
        }
        assert_eq!(found(&[], "send_mail"), None);
    }

    #[test]
    fn many_long_names_are_no_reason_to_find_none() {
        let mut names: Vec<String> = (0..5_000).map(|index| format!("{index}_{}", "x".repeat(245))).collect();
        names.push("send_mail".into());
        assert!(Names::new(&names).first_in("Before send_mail is used").is_some());
    }
}
