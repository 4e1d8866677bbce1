//! How much of a record's text goes out: no more than is kept of it, and no more than the outlet is to say.

use super::line::Body;
use crate::audit::Published;
use crate::config::Record;
use crate::redact::redact;
use crate::store::records::Kept;

/// A text as an outlet may say it.
#[derive(Debug)]
pub(super) struct Shown {
    pub text: Option<String>,
    pub body: Body,
}

/// What an outlet that may say `content` says of a record's text.
pub(super) fn show(record: &Published, content: Record) -> Shown {
    let Some(body) = record.row.body() else {
        return Shown { text: None, body: Body::new(0, Kept::None.word(), None) };
    };
    let kept = limited(body.kept, content);
    let text = record.text.as_deref().and_then(|text| match kept {
        Kept::None | Kept::Digest | Kept::Dropped => None,
        Kept::Full | Kept::Cut => Some(text.to_owned()),
        Kept::Redacted if body.kept == Kept::Redacted => Some(text.to_owned()),
        Kept::Redacted => Some(redact(text).into_owned()),
    });
    let digest = body.id.clone().filter(|_| content != Record::None);
    Shown { text, body: Body::new(body.bytes, kept.word(), digest) }
}

fn limited(kept: Kept, content: Record) -> Kept {
    match (kept, content) {
        (Kept::None | Kept::Dropped, _) | (_, Record::Full) => kept,
        (_, Record::None) => Kept::None,
        (Kept::Digest, _) | (_, Record::Digest) => Kept::Digest,
        (Kept::Redacted | Kept::Full | Kept::Cut, Record::Redacted) => Kept::Redacted,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use crate::store::records::Row;

    fn shown(kept: Kept, text: Option<&str>, content: Record) -> (Option<String>, String) {
        let mut record = testing::prompt("mail alice@example.com");
        if let Row::Prompt(row) = &mut record.row {
            row.body.kept = kept;
        }
        record.text = text.map(Into::into);
        let shown = show(&record, content);
        (shown.text, serde_json::to_string(&shown.body).unwrap())
    }

    #[test]
    fn an_outlet_says_no_more_than_is_kept_and_no_more_than_it_may() {
        let text = Some("mail alice@example.com");
        let (said, body) = shown(Kept::Full, text, Record::Full);
        assert_eq!(said.as_deref(), text);
        assert_eq!(body, r#"{"bytes":22,"kept":"full","digest":"d1"}"#);
        let (said, body) = shown(Kept::Full, text, Record::Redacted);
        assert_eq!(said.as_deref(), Some("mail [email]"));
        assert!(body.contains("redacted"));
        assert_eq!(
            shown(Kept::Full, text, Record::Digest),
            (None, r#"{"bytes":22,"kept":"digest","digest":"d1"}"#.into())
        );
        assert_eq!(shown(Kept::Full, text, Record::None), (None, r#"{"bytes":22,"kept":"none"}"#.into()));
        assert_eq!(shown(Kept::Cut, text, Record::Full).0.as_deref(), text);
        for kept in [Kept::None, Kept::Digest, Kept::Dropped] {
            let (said, body) = shown(kept, None, Record::Full);
            assert!(said.is_none() && body.contains(kept.word()), "{body}");
        }
    }
}
