//! Observed seconds per token, from decayed sums.

use rsd_protocol::preview::UnitCosts;

use super::{Model, Ran};

/// After so many observations, an old one counts for half.
const HALF_LIFE: f64 = 300.0;

/// Once settled, an observation counts as at most so many times what is usual: a hiccup is no news, a lasting change
/// still gets through.
const AT_MOST: f64 = 5.0;

/// Observations before the usual is known.
const SETTLED: f64 = 8.0;

/// The sum of what was observed over the sum of the units it was observed on, the newest counting most.
#[derive(Debug, Clone, Copy, Default)]
struct Rate {
    amount: f64,
    units: f64,
    observations: f64,
}

impl Rate {
    fn add(&mut self, amount: f64, units: usize) {
        if units == 0 || !amount.is_finite() || amount < 0.0 {
            return;
        }
        // n / (n + 1) weighs the n-th observation with n: the first ones, of a cold machine, are soon forgotten.
        let decay = (self.observations / (self.observations + 1.0)).min((-1.0 / HALF_LIFE).exp2());
        self.amount = decay * self.amount + amount;
        self.units = decay * self.units + units as f64;
        self.observations += 1.0;
    }

    fn add_steadily(&mut self, amount: f64, units: usize) {
        let usual = self.get().filter(|usual| *usual > 0.0 && self.observations >= SETTLED);
        self.add(usual.map_or(amount, |usual| amount.min(AT_MOST * usual * units as f64)), units);
    }

    fn get(&self) -> Option<f64> {
        (self.units > 0.0).then(|| self.amount / self.units)
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Speed {
    decode: Rate,
    prefill: Rate,
}

/// What was observed of the three models.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Costs {
    draft: Speed,
    target: Speed,
    reward_seconds: Rate,
    reward_tokens: Rate,
}

impl Costs {
    pub fn ran(&mut self, run: Ran) {
        let speed = match run.model {
            Model::Draft => &mut self.draft,
            Model::Target => &mut self.target,
        };
        if !run.seconds.is_finite() || !(0.0..=run.seconds).contains(&run.prefill_seconds) {
            return;
        }
        // The first token is sampled at the end of the prefill.
        speed.decode.add_steadily(run.seconds - run.prefill_seconds, run.generated.saturating_sub(1));
        speed.prefill.add_steadily(run.prefill_seconds, run.prefilled);
    }

    pub fn scored(&mut self, seconds: f64, prefilled: usize) {
        self.reward_seconds.add_steadily(seconds, 1);
        self.reward_tokens.add(prefilled as f64, 1);
    }

    /// Tokens the reward model reads for one step.
    pub fn reward_tokens(&self) -> Option<f64> {
        self.reward_tokens.get()
    }

    pub fn unit(&self) -> UnitCosts {
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

    /// A run at so many seconds per generated and per read token.
    fn run(model: Model, generated: usize, prefilled: usize, decode: f64, prefill: f64) -> Ran {
        let prefill_seconds = prefill * prefilled as f64;
        let seconds = prefill_seconds + decode * generated.saturating_sub(1) as f64;
        Ran { model, generated, prefilled, prefill_seconds, seconds }
    }

    fn close(found: Option<f64>, expected: f64, within: f64) -> bool {
        found.is_some_and(|found| (found / expected - 1.0).abs() <= within)
    }

    #[test]
    fn unit_costs_are_recovered_from_noisy_runs_within_one_percent() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut costs = Costs::default();
        for _ in 0..1000 {
            for (model, decode, prefill) in [(Model::Draft, 0.012, 0.002), (Model::Target, 0.06, 0.009)] {
                let noise = rng.random_range(0.85..1.15);
                let (generated, prefilled) = (rng.random_range(1..80), rng.random_range(0..200));
                costs.ran(run(model, generated, prefilled, decode * noise, prefill * noise));
            }
            costs.scored(0.03 * rng.random_range(0.85..1.15), rng.random_range(20..41));
        }
        let unit = costs.unit();
        assert!(close(unit.draft_decode, 0.012, 0.01), "{unit:?}");
        assert!(close(unit.draft_prefill, 0.002, 0.01), "{unit:?}");
        assert!(close(unit.target_decode, 0.06, 0.01), "{unit:?}");
        assert!(close(unit.target_prefill, 0.009, 0.01), "{unit:?}");
        assert!(close(unit.reward_step, 0.03, 0.01), "{unit:?}");
        assert!(close(costs.reward_tokens(), 30.0, 0.05));
    }

    #[test]
    fn what_a_run_does_not_show_stays_unknown() {
        let mut costs = Costs::default();
        assert_eq!(costs.unit(), UnitCosts::default());
        costs.ran(run(Model::Draft, 1, 0, 0.01, 0.001));
        assert_eq!(costs.unit(), UnitCosts::default());
        costs.ran(run(Model::Draft, 9, 0, 0.01, 0.001));
        costs.ran(run(Model::Target, 1, 9, 0.01, 0.001));
        let unit = costs.unit();
        assert!(unit.draft_decode.is_some() && unit.draft_prefill.is_none());
        assert!(unit.target_decode.is_none() && unit.target_prefill.is_some());
        costs.scored(0.0, 0);
        assert_eq!(costs.unit().reward_step, Some(0.0));
    }

    #[test]
    fn a_hiccup_is_no_news_and_a_lasting_change_is() {
        let mut costs = Costs::default();
        // The first run is a hundred times slower: the machine was cold.
        costs.ran(run(Model::Target, 50, 10, 5.0, 0.5));
        for _ in 0..100 {
            costs.ran(run(Model::Target, 50, 10, 0.05, 0.005));
        }
        assert!(close(costs.unit().target_decode, 0.05, 0.03), "{:?}", costs.unit());
        costs.ran(run(Model::Target, 50, 10, 50.0, 0.5));
        assert!(close(costs.unit().target_decode, 0.05, 0.12), "{:?}", costs.unit());
        for _ in 0..1500 {
            costs.ran(run(Model::Target, 50, 10, 0.5, 0.05));
        }
        assert!(close(costs.unit().target_decode, 0.5, 0.05), "{:?}", costs.unit());
    }

    #[test]
    fn times_that_no_clock_shows_are_ignored() {
        let mut costs = Costs::default();
        for seconds in [f64::NAN, f64::INFINITY, -1.0] {
            costs.ran(Ran { model: Model::Draft, generated: 5, prefilled: 5, prefill_seconds: seconds, seconds });
            costs.ran(Ran { model: Model::Draft, generated: 5, prefilled: 5, prefill_seconds: 1.0, seconds });
            costs.scored(seconds, 5);
        }
        assert_eq!(costs.unit(), UnitCosts::default());
    }
}
