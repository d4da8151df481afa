//! The comparison against every way to go on, computed by following each possible course of an answer.

use proptest::{array::uniform6, collection::vec, prelude::*};

use crate::policy::handover::{
    AnswerStanding, WorkDone,
    expected_cost::{
        AnswerOutlook, CLASSES, ExpectedCosts, HORIZON, ModelPrices, PrefillDebt, StepOutlook, expected_costs,
    },
    regret,
};

fn prices() -> impl Strategy<Value = ModelPrices> {
    let price = || prop_oneof![1 => Just(0.0), 9 => 0.0f64..0.1];
    (price(), price(), price(), price(), price()).prop_map(
        |(draft_decode, draft_prefill, target_decode, target_prefill, reward_step)| ModelPrices {
            draft_decode,
            draft_prefill,
            target_decode,
            target_prefill,
            reward_step,
        },
    )
}

/// Any probabilities of the next class, each accepted with a probability of its own.
fn step() -> impl Strategy<Value = StepOutlook> {
    let row = || (uniform6(0.01f64..1.0), uniform6(0.0f64..=1.0));
    (0.0f64..=1.0, uniform6(row())).prop_map(|(ending, rows)| {
        let mut step = StepOutlook { ending, accepted: [[0.0; CLASSES]; CLASSES], rejected: [[0.0; CLASSES]; CLASSES] };
        for (before, (weights, accepted)) in rows.iter().enumerate() {
            let total: f64 = weights.iter().sum();
            for after in 0..CLASSES {
                step.accepted[before][after] = weights[after] / total * accepted[after];
                step.rejected[before][after] = weights[after] / total * (1.0 - accepted[after]);
            }
        }
        step
    })
}

fn outlooks(longest: usize) -> impl Strategy<Value = AnswerOutlook> {
    (1.0f64..60.0, 1.0f64..60.0, 0.0f64..20.0, vec(step(), 1..=longest), 0.0f64..5.0).prop_map(
        |(draft_tokens, target_tokens, discarded_tokens, steps, steps_beyond)| AnswerOutlook {
            draft_tokens,
            target_tokens,
            discarded_tokens,
            steps,
            steps_beyond,
        },
    )
}

fn debts() -> impl Strategy<Value = PrefillDebt> {
    (0.0f64..200.0, 0.0f64..200.0).prop_map(|(target, draft)| PrefillDebt { target, draft })
}

fn suffix(outlook: &AnswerOutlook) -> AnswerOutlook {
    AnswerOutlook { steps: outlook.steps[1..].to_vec(), ..outlook.clone() }
}

/// The expected seconds of an answer by following every course of it. `drafts` decides at each step whether the draft
/// goes on; if not, the target decodes the rest.
fn followed(
    prices: &ModelPrices,
    outlook: &AnswerOutlook,
    debt: PrefillDebt,
    class: usize,
    rejected_before: bool,
    drafts: &dyn Fn(&AnswerOutlook, PrefillDebt, usize, bool) -> bool,
) -> f64 {
    if outlook.steps.is_empty() || !drafts(outlook, debt, class, rejected_before) {
        return debt.target * prices.target_prefill + outlook.remaining_tokens() * prices.target_decode;
    }
    let step = &outlook.steps[0];
    let rest = suffix(outlook);
    let mut cost = debt.draft * prices.draft_prefill + outlook.draft_tokens * prices.draft_decode + prices.reward_step;
    for next in 0..CLASSES {
        let (accepted, rejected) = (step.accepted[class][next], step.rejected[class][next]);
        if accepted > 0.0 && step.ending < 1.0 {
            let debt = PrefillDebt { target: debt.target + outlook.draft_tokens, draft: 0.0 };
            cost += accepted * (1.0 - step.ending) * followed(prices, &rest, debt, next, false, drafts);
        }
        if rejected > 0.0 {
            let replaced = outlook.discarded_tokens * prices.draft_decode
                + debt.target * prices.target_prefill
                + outlook.target_tokens * prices.target_decode;
            let debt = PrefillDebt { target: 0.0, draft: outlook.target_tokens };
            cost += rejected * (replaced + (1.0 - step.ending) * followed(prices, &rest, debt, next, true, drafts));
        }
    }
    cost
}

fn cheaper(costs: ExpectedCosts) -> f64 {
    costs.draft_on.min(costs.target_alone)
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * (1.0 + a.abs() + b.abs())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn told_the_truth_it_never_costs_more_than_another_way(prices in prices(), outlook in outlooks(4), debt in debts()) {
        let auto = |outlook: &AnswerOutlook, debt: PrefillDebt, class: usize, _: bool| {
            let costs = expected_costs(&prices, outlook, debt, class);
            costs.draft_on <= costs.target_alone
        };
        let chosen = followed(&prices, &outlook, debt, 0, false, &auto);
        prop_assert!(near(chosen, cheaper(expected_costs(&prices, &outlook, debt, 0))));
        let paper = followed(&prices, &outlook, debt, 0, false, &|_, _, _, _| true);
        let until_rejection = followed(&prices, &outlook, debt, 0, false, &|_, _, _, rejected| !rejected);
        let target = followed(&prices, &outlook, debt, 0, false, &|_, _, _, _| false);
        for other in [paper, until_rejection, target] {
            prop_assert!(chosen <= other + 1e-9, "{} against {}", chosen, other);
        }
    }
}

/// The cost of going on with the target minus that of drafting on.
fn advantage(prices: &ModelPrices, outlook: &AnswerOutlook, debt: PrefillDebt) -> f64 {
    let costs = expected_costs(prices, outlook, debt, 0);
    costs.target_alone - costs.draft_on
}

proptest! {
    #[test]
    fn no_cost_falls_when_a_price_rises(prices in prices(), outlook in outlooks(12), debt in debts(), more in 0.0f64..0.1) {
        let before = expected_costs(&prices, &outlook, debt, 0);
        for dearer in [
            ModelPrices { draft_decode: prices.draft_decode + more, ..prices },
            ModelPrices { draft_prefill: prices.draft_prefill + more, ..prices },
            ModelPrices { target_decode: prices.target_decode + more, ..prices },
            ModelPrices { target_prefill: prices.target_prefill + more, ..prices },
            ModelPrices { reward_step: prices.reward_step + more, ..prices },
        ] {
            let after = expected_costs(&dearer, &outlook, debt, 0);
            prop_assert!(after.draft_on >= before.draft_on - 1e-9 && after.target_alone >= before.target_alone - 1e-9);
        }
    }

    #[test]
    fn dearer_drafting_or_prefill_speaks_for_the_target_and_dearer_decoding_by_it_for_the_draft(
        prices in prices(), outlook in outlooks(12), draft in 0.0f64..100.0, more in 0.0f64..0.1,
    ) {
        // What the target must prefill anyway is no reason to draft: it has prefilled everything.
        let debt = PrefillDebt { target: 0.0, draft };
        let before = advantage(&prices, &outlook, debt);
        for dearer in [
            ModelPrices { draft_decode: prices.draft_decode + more, ..prices },
            ModelPrices { draft_prefill: prices.draft_prefill + more, ..prices },
            ModelPrices { target_prefill: prices.target_prefill + more, ..prices },
            ModelPrices { reward_step: prices.reward_step + more, ..prices },
        ] {
            prop_assert!(advantage(&dearer, &outlook, debt) <= before + 1e-9);
        }
        let dearer = ModelPrices { target_decode: prices.target_decode + more, ..prices };
        prop_assert!(advantage(&dearer, &outlook, debt) >= before - 1e-9);
    }

    #[test]
    fn what_can_only_cost_more_is_left_to_the_target(prices in prices(), outlook in outlooks(12), debt in debts()) {
        // Nothing is accepted: every draft step is on top.
        let mut outlook = outlook;
        for step in &mut outlook.steps {
            for (accepted, rejected) in step.accepted.as_flattened_mut().iter_mut().zip(step.rejected.as_flattened_mut()) {
                *rejected += std::mem::take(accepted);
            }
        }
        prop_assert!(advantage(&prices, &outlook, debt) <= 1e-9);
    }

    #[test]
    fn with_free_prefill_a_step_is_drafted_exactly_where_it_pays_by_itself(
        rates in vec(0.0f64..=1.0, 1..10), ratio in 0.0f64..2.0,
    ) {
        // One acceptance rate per step: what comes later does not depend on who decodes this step.
        let step = |rate: &f64| StepOutlook {
            ending: 0.2,
            accepted: [[0.0, 0.0, 0.0, 0.0, *rate, 0.0]; CLASSES],
            rejected: [[0.0, 0.0, 0.0, 0.0, 0.0, 1.0 - rate]; CLASSES],
        };
        let outlook = AnswerOutlook {
            draft_tokens: 30.0,
            target_tokens: 30.0,
            discarded_tokens: 0.0,
            steps: rates.iter().map(step).collect(),
            steps_beyond: 0.0,
        };
        let prices = ModelPrices {
            draft_decode: ratio * 0.05, draft_prefill: 0.0, target_decode: 0.05, target_prefill: 0.0, reward_step: 0.0,
        };
        let pays = rates.iter().any(|rate| *rate > ratio + 1e-9);
        let free = PrefillDebt { target: 100.0, draft: 100.0 };
        if rates[0] > ratio + 1e-9 {
            prop_assert!(advantage(&prices, &outlook, free) > 0.0);
        }
        if !pays {
            prop_assert!(advantage(&prices, &outlook, free) <= 1e-9);
        }
    }

    #[test]
    fn an_answer_of_known_length_never_costs_more_than_its_bound(
        prices in prices(), tokens in 1usize..60, rewards in vec(any::<bool>(), 1..20), regret in 0.0f64..1.0,
        prompt in 0usize..300,
    ) {
        let mut standing = AnswerStanding {
            prompt_tokens: prompt, draft_behind: prompt, target_behind: prompt, ..AnswerStanding::default()
        };
        let step = StepOutlook { ending: 0.0, accepted: [[0.0; CLASSES]; CLASSES], rejected: [[0.0; CLASSES]; CLASSES] };
        for (i, accepted) in rewards.iter().enumerate() {
            let mut steps = vec![step; rewards.len() - i];
            steps.last_mut().unwrap().ending = 1.0;
            let t = tokens as f64;
            let outlook = AnswerOutlook {
                draft_tokens: t, target_tokens: t, discarded_tokens: 0.0, steps, steps_beyond: 0.0,
            };
            let exceeds = regret::exceeds(regret, &prices, &outlook, &standing);
            let done = &mut standing.done;
            if exceeds {
                done.target_prefilled += standing.target_behind;
                done.target_decoded += tokens * (rewards.len() - i);
                break;
            }
            done.draft_prefilled += std::mem::take(&mut standing.draft_behind);
            done.draft_decoded += tokens;
            done.scored += 1;
            standing.tokens += tokens;
            if *accepted {
                standing.target_behind += tokens;
            } else {
                done.target_prefilled += std::mem::take(&mut standing.target_behind);
                done.target_decoded += tokens;
                standing.draft_behind = tokens;
            }
        }
        let alone = WorkDone {
            target_prefilled: prompt, target_decoded: tokens * rewards.len(), ..WorkDone::default()
        };
        prop_assert!(standing.done.seconds(&prices) <= (1.0 + regret) * alone.seconds(&prices) + 1e-9);
    }
}

#[test]
fn at_the_prices_of_a_slow_processor_going_back_to_the_draft_never_pays() {
    // An accepted token that is prefilled later costs 22 + 24 ms, more than the 37 ms of decoding it.
    let prices = ModelPrices {
        draft_decode: 0.022,
        draft_prefill: 0.013,
        target_decode: 0.037,
        target_prefill: 0.024,
        reward_step: 0.0,
    };
    let outlook = |rate: f64| AnswerOutlook {
        draft_tokens: 30.0,
        target_tokens: 30.0,
        discarded_tokens: 0.0,
        steps: vec![
            StepOutlook {
                ending: 0.15,
                accepted: [[0.0, 0.0, 0.0, 0.0, rate, 0.0]; CLASSES],
                rejected: [[0.0, 0.0, 0.0, 0.0, 0.0, 1.0 - rate]; CLASSES],
            };
            HORIZON
        ],
        steps_beyond: 6.0,
    };
    let after_target = PrefillDebt { target: 0.0, draft: 30.0 };
    for rate in [0.3, 0.6, 0.8] {
        assert!(advantage(&prices, &outlook(rate), after_target) < 0.0, "{rate}");
    }
    // Where almost everything is accepted, the target is never needed again.
    assert!(advantage(&prices, &outlook(0.99), after_target) > 0.0);
    // With the prefill of a GPU, going back pays at the same rates.
    let gpu = ModelPrices { draft_prefill: 0.0005, target_prefill: 0.001, ..prices };
    for rate in [0.8, 0.9] {
        assert!(advantage(&gpu, &outlook(rate), after_target) > 0.0, "{rate}");
    }
}
