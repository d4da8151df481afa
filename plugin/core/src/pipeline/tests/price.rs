//! Tests of prices.

// Zero is exact, and what is equal is computed alike.
#![allow(clippy::float_cmp)]

use proptest::prelude::*;

use crate::pipeline::{
    price::{CurrencyCode, RolePrices, TokenPrice},
    testing::World,
    trace::AnswerTotals,
};

fn price(input: f64, cached_input: f64, output: f64) -> TokenPrice {
    TokenPrice { input, cached_input, output, currency: CurrencyCode::parse("USD").unwrap() }
}

fn prices() -> impl Strategy<Value = TokenPrice> {
    (0.0f64..100.0, 0.0f64..100.0, 0.0f64..100.0).prop_map(|(input, cached, output)| price(input, cached, output))
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-9 * one.abs().max(other.abs()).max(1.0)
}

#[test]
fn a_million_tokens_of_each_kind_cost_their_price() {
    assert_eq!(price(3.0, 0.5, 15.0).of_tokens(1_000_000, 1_000_000, 1_000_000), 18.5);
}

#[test]
fn a_currency_is_three_capital_letters() {
    for wrong in ["", "US", "usd", "USDT", "U D", "\u{20ac}"] {
        assert_eq!(CurrencyCode::parse(wrong), None, "{wrong}");
    }
    let euro = CurrencyCode::parse("EUR").unwrap();
    assert_eq!(serde_json::to_string(&euro).unwrap(), r#""EUR""#);
    assert_eq!(serde_json::from_str::<CurrencyCode>(r#""EUR""#).unwrap(), euro);
    assert!(serde_json::from_str::<CurrencyCode>(r#""Euro""#).is_err());
}

#[test]
fn prices_in_two_currencies_make_no_sum() {
    let euro = TokenPrice { currency: CurrencyCode::parse("EUR").unwrap(), ..price(1.0, 1.0, 1.0) };
    assert_eq!(RolePrices::new(None, None), None);
    assert_eq!(RolePrices::new(Some(euro), Some(price(1.0, 1.0, 1.0))), None);
    assert_eq!(RolePrices::new(None, Some(euro)).unwrap().currency.to_string(), "EUR");
}

#[test]
fn the_trace_of_an_answer_has_its_cost_where_a_model_has_a_price_and_none_elsewhere() {
    let mut world = World::new(3);
    world.policy.delta = 2.0;
    assert_eq!(world.answer().trace.totals.cost, None);
    assert!(!serde_json::to_string(&world.answer().trace).unwrap().contains("cost"));
    world.target.price = Some(price(3.0, 0.5, 15.0));
    let totals = world.answer().trace.totals;
    let (cost, target) = (totals.cost.unwrap(), totals.target);
    assert!(target.generated > 0);
    assert_eq!(cost.draft, 0.0);
    assert_eq!(cost.total(), price(3.0, 0.5, 15.0).of_tokens(target.prefilled, target.cached, target.generated));
}

proptest! {
    #[test]
    fn calls_cost_together_what_they_cost_one_by_one(
        price in prices(),
        calls in proptest::collection::vec((0usize..5000, 0usize..5000, 0usize..5000), 0..8),
    ) {
        let mut totals = AnswerTotals::default();
        let mut single = 0.0;
        for (generated, prefilled, cached) in calls {
            totals.target.add_call(generated, prefilled, prefilled + cached, 1.0);
            single += price.of_tokens(prefilled, cached, generated);
        }
        let prices = RolePrices::new(None, Some(price)).unwrap();
        let cost = totals.cost(&prices);
        prop_assert!(close(cost.total(), single));
        prop_assert_eq!(cost.draft, 0.0);
    }

    #[test]
    fn more_tokens_never_cost_less_and_a_cache_that_is_cheaper_never_costs_more(
        price in prices(), prompt in 0usize..100_000, hit in 0.0f64..=1.0, output in 0usize..10_000, more in 0usize..1000,
    ) {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of the prompt")]
        let cached = (prompt as f64 * hit) as usize;
        let cost = price.of_tokens(prompt - cached, cached, output);
        prop_assert!(cost >= 0.0);
        prop_assert!(price.of_tokens(prompt - cached, cached, output + more) >= cost);
        prop_assert!(price.of_tokens(prompt - cached + more, cached, output) >= cost);
        let uncached = price.of_tokens(prompt, 0, output);
        if price.cached_input <= price.input {
            prop_assert!(cost <= uncached || close(cost, uncached));
        }
    }

    /// An answer that the target wrote alone in one run saves nothing and loses nothing.
    #[test]
    fn the_target_alone_costs_what_its_own_answer_costs(
        price in prices(), prompt in 0usize..10_000, prefilled in 0usize..10_000, completion in 0usize..10_000,
    ) {
        let prefilled = prefilled.min(prompt);
        let mut totals = AnswerTotals::default();
        totals.target.add_call(completion, prefilled, prompt, 1.0);
        let prices = RolePrices::new(None, Some(price)).unwrap();
        let alone = prices.of_target_only(prompt, prefilled, completion).unwrap();
        prop_assert_eq!(totals.cost(&prices).total(), alone);
    }
}
