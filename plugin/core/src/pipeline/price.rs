//! What an answer costs where a provider bills tokens.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Three capital letters, such as USD. It is a label: nothing is converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CurrencyCode([u8; 3]);

impl CurrencyCode {
    /// The code, if it is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let letters: [u8; 3] = text.as_bytes().try_into().ok()?;
        letters.iter().all(u8::is_ascii_uppercase).then_some(Self(letters))
    }
}

impl fmt::Display for CurrencyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|letter| write!(f, "{}", char::from(*letter)))
    }
}

impl From<CurrencyCode> for String {
    fn from(code: CurrencyCode) -> Self {
        code.to_string()
    }
}

impl TryFrom<String> for CurrencyCode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("expected three capital letters, such as USD, found {text:?}"))
    }
}

/// What a million tokens of a model cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenPrice {
    /// Prompt tokens that no cache held.
    pub input: f64,
    /// Prompt tokens that a cache held.
    pub cached_input: f64,
    /// Decoded tokens.
    pub output: f64,
    /// The currency of all three.
    pub currency: CurrencyCode,
}

impl TokenPrice {
    /// The price of this many tokens.
    #[must_use]
    pub fn of_tokens(&self, prefilled: usize, cached: usize, generated: usize) -> f64 {
        let millions = |tokens: usize| tokens as f64 / 1e6;
        millions(prefilled) * self.input + millions(cached) * self.cached_input + millions(generated) * self.output
    }
}

/// The prices of draft and target; at least one of them has one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RolePrices {
    /// The price of the draft.
    pub draft: Option<TokenPrice>,
    /// The price of the target.
    pub target: Option<TokenPrice>,
    /// The currency of both.
    pub currency: CurrencyCode,
}

impl RolePrices {
    /// `None` if neither has a price, or if their currencies differ, which no sum can hold.
    #[must_use]
    pub fn new(draft: Option<TokenPrice>, target: Option<TokenPrice>) -> Option<Self> {
        let currency = draft.or(target)?.currency;
        let alike = draft.into_iter().chain(target).all(|price| price.currency == currency);
        alike.then_some(Self { draft, target, currency })
    }

    /// What the target alone would have cost: one request, whose prompt is in the cache as far as it was for the first
    /// run, and whose answer has as many tokens. `None` if the target has no price.
    #[must_use]
    pub fn of_target_only(&self, prompt: usize, prefilled: usize, completion: usize) -> Option<f64> {
        Some(self.target?.of_tokens(prefilled, prompt.saturating_sub(prefilled), completion))
    }
}

/// What an answer cost: tokens at their price. A model without a price costs nothing here.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AnswerCost {
    /// The draft's tokens, discarded ones included.
    pub draft: f64,
    /// The target's tokens.
    pub target: f64,
    /// The currency of both.
    pub currency: CurrencyCode,
}

impl AnswerCost {
    /// Both models together.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.draft + self.target
    }
}
