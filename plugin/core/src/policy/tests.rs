use proptest::prelude::*;

use super::*;

fn weightings() -> impl Strategy<Value = WeightingFunction> {
    prop_oneof![
        Just(WeightingFunction::Binary),
        Just(WeightingFunction::Constant),
        Just(WeightingFunction::Clipping),
        Just(WeightingFunction::Sigmoidal),
        Just(WeightingFunction::Logistic),
    ]
}

fn with_delta(delta: f64) -> RuntimeSettings {
    RuntimeSettings { policy: PolicyConfig { delta, ..PolicyConfig::default() }, ..RuntimeSettings::default() }
}

fn policy(values: PolicyConfig) -> Policy {
    Policy { revision: 1, values }
}

proptest! {
    #[test]
    fn acceptance_is_a_probability(w in weightings(), r in -1.0f64..2.0, delta in -1.0f64..2.0, p in 0.0f64..=1.0, alpha in 0.01f64..100.0) {
        let values = PolicyConfig { weighting: w, delta, constant_probability: p, logistic_steepness: alpha, ..PolicyConfig::default() };
        prop_assert!((0.0..=1.0).contains(&acceptance_probability(&values, Some(r))));
    }

    #[test]
    fn a_better_step_is_never_less_likely_accepted(w in weightings(), a in 0.0f64..=1.0, b in 0.0f64..=1.0, delta in -1.0f64..2.0) {
        let values = PolicyConfig { weighting: w, delta, ..PolicyConfig::default() };
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        prop_assert!(acceptance_probability(&values, Some(low)) <= acceptance_probability(&values, Some(high)));
    }

    #[test]
    fn a_higher_threshold_never_accepts_more(r in 0.0f64..=1.0, a in -1.0f64..2.0, b in -1.0f64..2.0, logistic: bool) {
        let weighting = if logistic { WeightingFunction::Logistic } else { WeightingFunction::Binary };
        let probability = |delta| acceptance_probability(&PolicyConfig { weighting, delta, ..PolicyConfig::default() }, Some(r));
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        prop_assert!(probability(low) >= probability(high));
    }

    #[test]
    fn the_extremes_hold_exactly(r in 0.0f64..=1.0, u in 0.0f64..1.0, logistic: bool, low in -1.0f64..=0.0, high in 1.000_001f64..2.0) {
        let weighting = if logistic { WeightingFunction::Logistic } else { WeightingFunction::Binary };
        let at = |delta| policy(PolicyConfig { weighting, delta, ..PolicyConfig::default() }).decide(Some(r), u);
        prop_assert_eq!(at(low), Decision::Accept);
        prop_assert_eq!(at(high), Decision::Reject);
    }

    #[test]
    fn a_rising_threshold_never_falls_and_ends_at_delta(delta in 0.001f64..=1.0, ramp in 0u32..500, a in 0usize..600, b in 0usize..600) {
        let values = PolicyConfig { delta, ramp_tokens: ramp, ..PolicyConfig::default() };
        let (few, many) = (values.at(a.min(b)).delta, values.at(a.max(b)).delta);
        prop_assert!(0.0 < few && few <= many && many <= delta);
        prop_assert_eq!(values.at(ramp as usize), values);
    }

    #[test]
    fn a_threshold_that_does_not_rise_is_the_same_for_every_step(delta in prop_oneof![-1.0f64..=0.0, 1.000_001f64..2.0], ramp in 0u32..500, tokens in 0usize..600) {
        let values = PolicyConfig { delta, ramp_tokens: ramp, ..PolicyConfig::default() };
        prop_assert_eq!(values.at(tokens), values);
        let budget = PolicyConfig { delta: 0.5, mode: ThresholdMode::Budget, ..values };
        prop_assert_eq!(budget.at(tokens), budget);
    }
}

#[test]
fn an_early_step_needs_less_reward_and_the_trace_shows_how_much() {
    let mut settings = with_delta(0.6);
    settings.policy.ramp_tokens = 120;
    let handle = PolicyHandle::new(settings).unwrap();
    let decide = |tokens, reward| handle.decide_step(handle.current().policy(None), tokens, Some(reward), 0.5);
    let (decision, decided_by) = decide(40, 0.25);
    assert_eq!((decision, decided_by.values.delta), (Decision::Accept, 0.6 * (40.0 / 120.0)));
    assert_eq!(decide(80, 0.25).0, Decision::Reject);
    assert_eq!((decide(120, 0.6).0, decide(500, 0.59).0), (Decision::Accept, Decision::Reject));
    assert_eq!(decide(1, 0.0).0, Decision::Reject, "a false statement");
}

#[test]
fn a_step_without_a_number_as_reward_is_rejected() {
    for weighting in [
        WeightingFunction::Binary,
        WeightingFunction::Constant,
        WeightingFunction::Clipping,
        WeightingFunction::Logistic,
    ] {
        let values = PolicyConfig { weighting, ..PolicyConfig::default() };
        assert_eq!(policy(values).decide(None, 0.0), Decision::Reject);
        assert_eq!(policy(values).decide(Some(f64::NAN), 0.0), Decision::Reject);
    }
}

#[test]
fn a_bad_replacement_leaves_the_policy_whole() {
    let handle = PolicyHandle::new(RuntimeSettings::default()).unwrap();
    let error = handle.replace_settings(&with_delta(f64::NAN)).unwrap_err();
    assert_eq!(error.field, "delta");
    assert_eq!(handle.current().revision, 1);
    let new = handle.replace_settings(&with_delta(0.4)).unwrap();
    assert_eq!((new.revision, new.settings.policy.delta), (2, 0.4));
}
