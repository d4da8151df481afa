use proptest::prelude::*;

use super::*;

fn weightings() -> impl Strategy<Value = Weighting> {
    prop_oneof![
        Just(Weighting::Binary),
        Just(Weighting::Constant),
        Just(Weighting::Clipping),
        Just(Weighting::Sigmoidal),
        Just(Weighting::Logistic),
    ]
}

fn with_delta(delta: f64) -> Live {
    Live { policy: PolicyConfig { delta, ..PolicyConfig::default() }, ..Live::default() }
}

fn policy(values: PolicyConfig) -> Policy {
    Policy { revision: 1, values }
}

proptest! {
    #[test]
    fn keeping_is_a_probability(w in weightings(), r in -1.0f64..2.0, delta in -1.0f64..2.0, p in 0.0f64..=1.0, alpha in 0.01f64..100.0) {
        let values = PolicyConfig { weighting: w, delta, p, alpha, ..PolicyConfig::default() };
        prop_assert!((0.0..=1.0).contains(&keep_probability(&values, r)));
    }

    #[test]
    fn a_better_step_is_never_less_likely_kept(w in weightings(), a in 0.0f64..=1.0, b in 0.0f64..=1.0, delta in -1.0f64..2.0) {
        let values = PolicyConfig { weighting: w, delta, ..PolicyConfig::default() };
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        prop_assert!(keep_probability(&values, low) <= keep_probability(&values, high));
    }

    #[test]
    fn a_higher_threshold_never_keeps_more(r in 0.0f64..=1.0, a in -1.0f64..2.0, b in -1.0f64..2.0, logistic: bool) {
        let weighting = if logistic { Weighting::Logistic } else { Weighting::Binary };
        let keep = |delta| keep_probability(&PolicyConfig { weighting, delta, ..PolicyConfig::default() }, r);
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        prop_assert!(keep(low) >= keep(high));
    }

    #[test]
    fn the_extremes_hold_exactly(r in 0.0f64..=1.0, u in 0.0f64..1.0, logistic: bool, low in -1.0f64..=0.0, high in 1.000_001f64..2.0) {
        let weighting = if logistic { Weighting::Logistic } else { Weighting::Binary };
        let at = |delta| policy(PolicyConfig { weighting, delta, ..PolicyConfig::default() }).decide(r, u);
        prop_assert_eq!(at(low), Decision::Accept);
        prop_assert_eq!(at(high), Decision::Reject);
    }
}

#[test]
fn a_reward_that_is_no_number_keeps_nothing() {
    for weighting in [Weighting::Binary, Weighting::Constant, Weighting::Clipping, Weighting::Logistic] {
        let values = PolicyConfig { weighting, ..PolicyConfig::default() };
        assert_eq!(policy(values).decide(f64::NAN, 0.0), Decision::Reject);
    }
}

#[test]
fn a_bad_replacement_leaves_the_policy_whole() {
    let handle = PolicyHandle::new(Live::default()).unwrap();
    let error = handle.replace(with_delta(f64::NAN)).unwrap_err();
    assert_eq!(error.field, "delta");
    assert_eq!(handle.current().revision, 1);
    let new = handle.replace(with_delta(0.4)).unwrap();
    assert_eq!((new.revision, new.live.policy.delta), (2, 0.4));
}
