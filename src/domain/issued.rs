/// An id of a stored response, or of an item in one, that a client was given and may send back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedId {
    /// As the client knows it.
    pub id: String,
    /// What stands for it upstream: the last round's id for the first round's.
    pub upstream: String,
    /// Calls in the stored response that the client never saw, and that need an output before it goes on; asked for
    /// only where what they got is no longer kept.
    pub unanswered: Vec<String>,
}
