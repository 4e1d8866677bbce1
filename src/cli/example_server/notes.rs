use schemars::JsonSchema;
use serde::Serialize;

struct Note {
    id: &'static str,
    title: &'static str,
    text: &'static str,
}

const NOTES: [Note; 6] = [
    Note {
        id: "office-hours",
        title: "Office hours",
        text: "The office is open from 7:30 to 19:00 on working days. Deliveries arrive at the north door before noon. \
               The last person to leave sets the alarm.",
    },
    Note {
        id: "travel-policy",
        title: "Travel policy",
        text: "Trains are booked in second class, flights only above six hours by train. Hotels cost at most 140 euros \
               a night. Receipts go to accounting within 14 days.",
    },
    Note {
        id: "release-plan",
        title: "Release plan for version 4",
        text: "Feature freeze is on the first Monday of the month, the release candidate follows on Thursday, and the \
               release one week later if no blocker is open. Marta decides.",
    },
    Note {
        id: "on-call",
        title: "On-call rota",
        text: "One engineer is on call for a week, from Tuesday 10:00. The first answer is due within 15 minutes. \
               An incident gets a written review within five days.",
    },
    Note {
        id: "coffee-machine",
        title: "Coffee machine",
        text: "Descale the machine every second Friday: two tablets, program 7, then rinse twice. Beans are in the \
               cupboard on the left.",
    },
    Note {
        id: "bridge-survey",
        title: "Bridge survey",
        text: "The footbridge is 42 metres long and carries 5 kilonewtons per square metre. The next inspection is due \
               in spring; the western bearing shows rust.",
    },
];

/// A note that was found.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Hit {
    /// For `read_note`.
    id: String,
    title: String,
    /// How the note begins.
    excerpt: String,
}

/// The notes that hold any of the query's words, those with the most of them first.
pub(super) fn search(query: &str, limit: usize) -> Vec<Hit> {
    let words: Vec<String> = query
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.len() > 1)
        .map(str::to_lowercase)
        .collect();
    let mut found: Vec<(usize, &Note)> = NOTES
        .iter()
        .map(|note| {
            let text = format!("{} {} {}", note.id, note.title, note.text).to_lowercase();
            (words.iter().filter(|word| text.contains(word.as_str())).count(), note)
        })
        .filter(|(hits, _)| *hits > 0)
        .collect();
    found.sort_by_key(|(hits, _)| std::cmp::Reverse(*hits));
    found
        .into_iter()
        .take(limit)
        .map(|(_, note)| Hit {
            id: note.id.into(),
            title: note.title.into(),
            excerpt: note.text.chars().take(80).collect::<String>() + "…",
        })
        .collect()
}

/// The whole note, with its title.
pub(super) fn read(id: &str) -> Option<String> {
    let note = NOTES.iter().find(|note| note.id == id)?;
    Some(format!("# {}\n\n{}", note.title, note.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_with_the_most_words_comes_first() {
        let hits = search("When is the RELEASE candidate due?", 2);
        assert_eq!(hits[0].id, "release-plan");
        assert_eq!(hits.len(), 2);
        assert!(search("zeppelin", 5).is_empty() && search("", 5).is_empty());
        assert!(read("release-plan").unwrap().contains("Marta decides"));
        assert_eq!(read("nothing"), None);
    }
}
