use std::ops::AddAssign;

/// Tokens of one round, in disjoint classes (`reasoning` alone is a part of `output`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Input tokens that were neither read from nor written to a cache.
    pub input: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// Input tokens read from the provider's cache.
    pub cache_read: u64,
    /// Input tokens written to the provider's cache, short-lived (5 minutes; OpenAI: 30 minutes).
    pub cache_write_short: u64,
    /// Input tokens written to the provider's cache, long-lived (1 hour; OpenAI: 12 hours).
    pub cache_write_long: u64,
    /// Output tokens that were spent on thinking, where the provider tells.
    pub reasoning: u64,
}

impl AddAssign for Usage {
    /// Adds class by class; a provider's absurd figure saturates instead of wrapping round.
    fn add_assign(&mut self, other: Self) {
        self.input = self.input.saturating_add(other.input);
        self.output = self.output.saturating_add(other.output);
        self.cache_read = self.cache_read.saturating_add(other.cache_read);
        self.cache_write_short = self.cache_write_short.saturating_add(other.cache_write_short);
        self.cache_write_long = self.cache_write_long.saturating_add(other.cache_write_long);
        self.reasoning = self.reasoning.saturating_add(other.reasoning);
    }
}
