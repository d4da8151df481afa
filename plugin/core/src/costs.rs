//! Observed seconds per token of each model, from decayed sums.

use rsd_protocol::preview::UnitCosts;

/// Once the rate is settled, an observation counts as at most this many times the usual one. A single hiccup then
/// changes little, and a lasting change still shows.
const OUTLIER_LIMIT: f64 = 5.0;

/// Number of observations before the usual rate is known.
const SETTLED_AFTER: f64 = 8.0;

/// The sum of the observed amounts over the sum of their units; the newest observations count most.
#[derive(Debug, Clone, Copy, Default)]
struct DecayedRate {
    amount: f64,
    units: f64,
    observations: f64,
}

/// What one run of a model cost.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct RunCost {
    /// Tokens sampled.
    pub generated: usize,
    /// Prompt tokens that were in no cache.
    pub prefilled: usize,
    /// Seconds until the first token was sampled.
    pub prefill_seconds: f64,
    /// All seconds that the model worked.
    pub seconds: f64,
}

impl DecayedRate {
    fn add(&mut self, amount: f64, units: usize, half_life: f64) {
        if units == 0 || !amount.is_finite() || amount < 0.0 {
            return;
        }
        // n / (n + 1) weighs the n-th observation with n: the first ones, of a cold machine, soon count for little.
        let decay = (self.observations / (self.observations + 1.0)).min((-1.0 / half_life).exp2());
        self.amount = decay * self.amount + amount;
        self.units = decay * self.units + units as f64;
        self.observations += 1.0;
    }

    fn add_steadily(&mut self, amount: f64, units: usize, half_life: f64) {
        let usual = self.get().filter(|usual| *usual > 0.0 && self.observations >= SETTLED_AFTER);
        self.add(usual.map_or(amount, |usual| amount.min(OUTLIER_LIMIT * usual * units as f64)), units, half_life);
    }

    fn get(&self) -> Option<f64> {
        (self.units > 0.0).then(|| self.amount / self.units)
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct ModelSpeed {
    decode: DecayedRate,
    prefill: DecayedRate,
}

/// The observed speeds of the three models.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ObservedCosts {
    draft: ModelSpeed,
    target: ModelSpeed,
    reward_seconds: DecayedRate,
    reward_tokens: DecayedRate,
    half_life: f64,
}

impl ModelSpeed {
    fn record(&mut self, run: &RunCost, half_life: f64) {
        if !run.seconds.is_finite() || !(0.0..=run.seconds).contains(&run.prefill_seconds) {
            return;
        }
        // The first token is sampled at the end of the prefill.
        self.decode.add_steadily(run.seconds - run.prefill_seconds, run.generated.saturating_sub(1), half_life);
        self.prefill.add_steadily(run.prefill_seconds, run.prefilled, half_life);
    }
}

impl ObservedCosts {
    /// Nothing observed yet. After `half_life` observations an old one counts for half.
    pub fn new(half_life: f64) -> Self {
        Self {
            draft: ModelSpeed::default(),
            target: ModelSpeed::default(),
            reward_seconds: DecayedRate::default(),
            reward_tokens: DecayedRate::default(),
            half_life,
        }
    }

    pub fn record_draft(&mut self, run: &RunCost) {
        self.draft.record(run, self.half_life);
    }

    pub fn record_target(&mut self, run: &RunCost) {
        self.target.record(run, self.half_life);
    }

    /// Records the cost of scoring one step, for which the reward model prefilled this many tokens.
    pub fn record_score(&mut self, seconds: f64, prefilled: usize) {
        self.reward_seconds.add_steadily(seconds, 1, self.half_life);
        self.reward_tokens.add(prefilled as f64, 1, self.half_life);
    }

    /// Tokens that the reward model prefills to score one step.
    pub fn reward_tokens(&self) -> Option<f64> {
        self.reward_tokens.get()
    }

    pub fn unit_costs(&self) -> UnitCosts {
        UnitCosts {
            draft_decode: self.draft.decode.get(),
            draft_prefill: self.draft.prefill.get(),
            target_decode: self.target.decode.get(),
            target_prefill: self.target.prefill.get(),
            reward_step: self.reward_seconds.get(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// A run at `decode` seconds per generated and `prefill` seconds per prefilled token.
    fn run(generated: usize, prefilled: usize, decode: f64, prefill: f64) -> RunCost {
        let prefill_seconds = prefill * prefilled as f64;
        let seconds = prefill_seconds + decode * generated.saturating_sub(1) as f64;
        RunCost { generated, prefilled, prefill_seconds, seconds }
    }

    fn close(found: Option<f64>, expected: f64, within: f64) -> bool {
        found.is_some_and(|found| (found / expected - 1.0).abs() <= within)
    }

    #[test]
    fn unit_costs_are_recovered_from_noisy_runs_within_one_percent() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut costs = ObservedCosts::new(300.0);
        for _ in 0..1000 {
            let mut noisy = |decode: f64, prefill: f64| {
                let noise = rng.random_range(0.85..1.15);
                run(rng.random_range(1..80), rng.random_range(0..200), decode * noise, prefill * noise)
            };
            costs.record_draft(&noisy(0.012, 0.002));
            costs.record_target(&noisy(0.06, 0.009));
            costs.record_score(0.03 * rng.random_range(0.85..1.15), rng.random_range(20..41));
        }
        let unit = costs.unit_costs();
        assert!(close(unit.draft_decode, 0.012, 0.01), "{unit:?}");
        assert!(close(unit.draft_prefill, 0.002, 0.01), "{unit:?}");
        assert!(close(unit.target_decode, 0.06, 0.01), "{unit:?}");
        assert!(close(unit.target_prefill, 0.009, 0.01), "{unit:?}");
        assert!(close(unit.reward_step, 0.03, 0.01), "{unit:?}");
        assert!(close(costs.reward_tokens(), 30.0, 0.05));
    }

    #[test]
    fn what_a_run_does_not_show_stays_unknown() {
        let mut costs = ObservedCosts::new(300.0);
        assert_eq!(costs.unit_costs(), UnitCosts::default());
        costs.record_draft(&run(1, 0, 0.01, 0.001));
        assert_eq!(costs.unit_costs(), UnitCosts::default());
        costs.record_draft(&run(9, 0, 0.01, 0.001));
        costs.record_target(&run(1, 9, 0.01, 0.001));
        let unit = costs.unit_costs();
        assert!(unit.draft_decode.is_some() && unit.draft_prefill.is_none());
        assert!(unit.target_decode.is_none() && unit.target_prefill.is_some());
        costs.record_score(0.0, 0);
        assert_eq!(costs.unit_costs().reward_step, Some(0.0));
    }

    #[test]
    fn a_hiccup_is_no_news_and_a_lasting_change_is() {
        let mut costs = ObservedCosts::new(300.0);
        // The first run is a hundred times slower: the machine was cold.
        costs.record_target(&run(50, 10, 5.0, 0.5));
        for _ in 0..100 {
            costs.record_target(&run(50, 10, 0.05, 0.005));
        }
        assert!(close(costs.unit_costs().target_decode, 0.05, 0.03), "{:?}", costs.unit_costs());
        costs.record_target(&run(50, 10, 50.0, 0.5));
        assert!(close(costs.unit_costs().target_decode, 0.05, 0.12), "{:?}", costs.unit_costs());
        for _ in 0..1500 {
            costs.record_target(&run(50, 10, 0.5, 0.05));
        }
        assert!(close(costs.unit_costs().target_decode, 0.5, 0.05), "{:?}", costs.unit_costs());
    }

    #[test]
    fn times_that_no_clock_shows_are_ignored() {
        let mut costs = ObservedCosts::new(300.0);
        for seconds in [f64::NAN, f64::INFINITY, -1.0] {
            for prefill_seconds in [seconds, 1.0] {
                let run = RunCost { generated: 5, prefilled: 5, prefill_seconds, seconds };
                costs.record_draft(&run);
            }
            costs.record_score(seconds, 5);
        }
        assert_eq!(costs.unit_costs(), UnitCosts::default());
    }
}
