//! Money that tokens cost, where a model has a price. Without one there is no series at all.

use prometheus::{Counter, Result};
use rsd_core::pipeline::{
    observe::AnswerEnd,
    price::{RolePrices, TokenPrice},
    roles::RunReport,
    trace::StepSource,
};
use rsd_protocol::metrics::{ANSWER_COST, COST, SOURCES, TARGET_ONLY_COST};

use super::collector_registry::CollectorRegistry;

/// The collectors of a pipeline in which a model has a price.
pub(super) struct MoneyMetrics {
    prices: RolePrices,
    /// Of draft and target.
    spent: [Option<PricedCounter>; 2],
    /// Complete RSD answers, and the target alone for the same answers.
    compared: Option<[Counter; 2]>,
}

/// Money for the tokens of one model.
struct PricedCounter {
    price: TokenPrice,
    spent: Counter,
}

impl MoneyMetrics {
    pub fn new(register: &CollectorRegistry<'_>, prices: RolePrices) -> Result<Self> {
        let currency = prices.currency.to_string();
        let counter = |role: &str, price: Option<TokenPrice>| -> Result<Option<PricedCounter>> {
            let Some(price) = price else { return Ok(None) };
            let spent = register.with_labels(&COST, &[("role", role), ("currency", &currency)])?;
            Ok(Some(PricedCounter { price, spent }))
        };
        let compared = match prices.target {
            Some(_) => Some([
                register.with_labels(&ANSWER_COST, &[("currency", &currency)])?,
                register.with_labels(&TARGET_ONLY_COST, &[("currency", &currency)])?,
            ]),
            None => None,
        };
        let spent = [counter(SOURCES[0], prices.draft)?, counter(SOURCES[1], prices.target)?];
        Ok(Self { prices, spent, compared })
    }

    /// A run cost its tokens, whatever becomes of the answer.
    pub fn record_run(&self, source: StepSource, report: &RunReport) {
        if let Some(PricedCounter { price, spent }) = &self.spent[source as usize] {
            let cached = report.prompt.saturating_sub(report.prefilled);
            spent.inc_by(price.of_tokens(report.prefilled + report.verified, cached, report.generated));
        }
    }

    /// Compares a complete answer with the target alone.
    pub fn record_answer(&self, ended: &AnswerEnd<'_>) {
        let alone = self.prices.of_target_only(ended.prompt_tokens, ended.prompt_prefilled, ended.completion_tokens);
        if let Some(([rsd, target_only], alone)) = self.compared.as_ref().zip(alone) {
            rsd.inc_by(ended.trace.totals.cost(&self.prices).total());
            target_only.inc_by(alone);
        }
    }
}
