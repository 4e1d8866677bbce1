//! `tools/list`, page by page, with an end: a server may repeat a cursor or send pages for ever.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::Value;

/// The most pages that are asked for.
const MAX_PAGES: usize = 100;

/// The most tools of one server.
const MAX_TOOLS: usize = 5_000;

/// The most JSON of one server's tools, in bytes.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The longest cursor, in bytes: all of them are kept until the list is complete.
const MAX_CURSOR: usize = 4 * 1024;

/// The tools of one server, as raw as they came.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Listing {
    /// In the server's order.
    pub(super) tools: Vec<Value>,
    /// Why there may be more that were not taken.
    pub(super) cut: Option<String>,
    /// How long the server says that it stays the same: the shortest time of all pages.
    pub(super) time_to_live: Option<Duration>,
}

impl Listing {
    /// Whether it says the same as another one.
    pub(super) fn has_tools_of(&self, other: &Self) -> bool {
        self.tools == other.tools && self.cut == other.cut
    }
}

/// One page to ask for.
#[derive(Debug)]
pub(super) struct PageRequest {
    /// `None` for the first page.
    pub(super) cursor: Option<String>,
}

/// A list that is being collected: ask [`Pages::wanted`], give the answer to [`Pages::take`], and again.
#[derive(Debug)]
pub(super) struct Pages {
    listing: Listing,
    wanted: Option<PageRequest>,
    seen: HashSet<String>,
    count: usize,
    bytes: usize,
}

impl Pages {
    pub(super) fn new() -> Self {
        Self {
            listing: Listing::default(),
            wanted: Some(PageRequest { cursor: None }),
            seen: HashSet::new(),
            count: 0,
            bytes: 0,
        }
    }

    /// The page to ask for, or nothing when the list is complete.
    pub(super) fn wanted(&mut self) -> Option<PageRequest> {
        self.wanted.take()
    }

    /// Adds the raw result of one `tools/list`.
    pub(super) fn take(&mut self, mut page: Value) -> Result<(), String> {
        let Some(Value::Array(tools)) = page.get_mut("tools").map(Value::take) else {
            return Err("the answer to `tools/list` has no list of tools".into());
        };
        if let Some(milliseconds) = page.get("ttlMs").and_then(Value::as_u64) {
            let time = Duration::from_millis(milliseconds);
            self.listing.time_to_live = Some(self.listing.time_to_live.map_or(time, |known| known.min(time)));
        }
        for tool in tools {
            self.bytes += tool.to_string().len();
            if self.listing.tools.len() == MAX_TOOLS || self.bytes > MAX_BYTES {
                self.cut(format!("only the first {} tools were taken", self.listing.tools.len()));
                return Ok(());
            }
            self.listing.tools.push(tool);
        }
        self.count += 1;
        // An empty cursor is a cursor; `null` and nothing are the end.
        let Some(next) = page.get("nextCursor").and_then(Value::as_str) else { return Ok(()) };
        if next.len() > MAX_CURSOR {
            self.cut(format!("a cursor is longer than {MAX_CURSOR} bytes, so the list was cut there"));
        } else if !self.seen.insert(next.to_owned()) {
            self.cut("the server repeated a cursor, so its list was cut there".into());
        } else if self.count == MAX_PAGES {
            self.cut(format!("only the first {MAX_PAGES} pages were taken"));
        } else {
            self.wanted = Some(PageRequest { cursor: Some(next.to_owned()) });
        }
        Ok(())
    }

    /// What was collected.
    pub(super) fn into_listing(self) -> Listing {
        self.listing
    }

    fn cut(&mut self, reason: String) {
        self.listing.cut = Some(reason);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list(mut page: impl FnMut(Option<&str>) -> Value) -> Result<Listing, String> {
        let mut pages = Pages::new();
        while let Some(PageRequest { cursor }) = pages.wanted() {
            pages.take(page(cursor.as_deref()))?;
        }
        Ok(pages.into_listing())
    }

    #[test]
    fn all_pages_are_taken_and_the_empty_cursor_is_one() {
        let listing = list(|cursor| match cursor {
            None => json!({"tools": [1], "nextCursor": ""}),
            Some("") => json!({"tools": [2, 3], "nextCursor": "z"}),
            Some(_) => json!({"tools": [4], "nextCursor": null}),
        });
        let tools = vec![json!(1), json!(2), json!(3), json!(4)];
        assert_eq!(listing, Ok(Listing { tools, ..Listing::default() }));
    }

    #[test]
    fn the_shortest_time_to_live_of_all_pages_counts() {
        let listing = list(|cursor| match cursor {
            None => json!({"tools": [], "ttlMs": 5_000, "nextCursor": "2"}),
            Some("2") => json!({"tools": [], "ttlMs": 2_000, "nextCursor": "3"}),
            Some(_) => json!({"tools": [], "ttlMs": -1}),
        });
        assert_eq!(listing.unwrap().time_to_live, Some(Duration::from_secs(2)));
    }

    #[test]
    fn a_repeated_cursor_ends_the_list() {
        let listing = list(|_| json!({"tools": [1], "nextCursor": "again"})).unwrap();
        assert_eq!(listing.tools.len(), 2);
        assert!(listing.cut.unwrap().contains("repeated"));
    }

    #[test]
    fn a_cursor_without_end_is_not_kept() {
        let mut count = 0;
        let listing = list(|_| {
            count += 1;
            json!({"tools": [count], "nextCursor": "x".repeat(MAX_CURSOR + count - 1)})
        });
        let listing = listing.unwrap();
        assert_eq!(listing.tools.len(), 2, "the first is just short enough");
        assert!(listing.cut.unwrap().contains("longer than"));
    }

    #[test]
    fn endless_pages_and_endless_tools_end() {
        let mut count = 0;
        let pages = list(|_| {
            count += 1;
            json!({"tools": [], "nextCursor": count.to_string()})
        });
        assert!(pages.unwrap().cut.unwrap().contains("100 pages"));
        let tools = list(|_| json!({"tools": vec![json!({}); 6_000]})).unwrap();
        assert_eq!(tools.tools.len(), MAX_TOOLS);
        let large = "x".repeat(1_000_000);
        let bytes = list(|_| json!({"tools": vec![json!(large); 20]})).unwrap();
        assert_eq!(bytes.tools.len(), 16);
        assert!(bytes.cut.is_some());
    }

    #[test]
    fn an_answer_without_tools_is_an_error() {
        for answer in [json!({}), json!({"tools": 1}), json!(null)] {
            assert!(list(|_| answer.clone()).unwrap_err().contains("no list of tools"));
        }
    }
}
