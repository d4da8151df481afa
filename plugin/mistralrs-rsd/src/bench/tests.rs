use rsd_core::pipeline::{
    testing::{World, block_on},
    trace::StepSource,
};

use super::{BenchMode, BenchSetup, concurrency, lookahead, scaling};

fn bench(seed: u64) -> BenchSetup {
    let world = World::new(seed);
    BenchSetup { rsd: world.rsd(), prompts: vec![world.request.prompt.clone()], rounds: 3, max_tokens: 60 }
}

#[test]
fn the_two_sides_of_a_ratio_write_the_same() {
    for seed in 0..20 {
        let bench = bench(seed);
        let tokens = |mode| {
            let answer = block_on(bench.answer(&bench.prompts[0], mode, 0)).unwrap();
            answer.outcome.tokens
        };
        assert_eq!(tokens(BenchMode::Draft), tokens(BenchMode::Delta(0.0)));
        assert_eq!(tokens(BenchMode::Target), tokens(BenchMode::Delta(2.0)));
        assert_eq!(tokens(BenchMode::Draft), tokens(BenchMode::Acceptance(1.0, 0)));
        assert_eq!(tokens(BenchMode::Target), tokens(BenchMode::Acceptance(0.0, 0)));
    }
}

#[test]
fn the_meter_and_the_trace_count_the_same_work() {
    for seed in 0..20 {
        let bench = bench(seed);
        let answer = block_on(bench.answer(&bench.prompts[0], BenchMode::Acceptance(0.5, 0), 1)).unwrap();
        let totals = &answer.outcome.trace.totals;
        for (source, of) in [(StepSource::Draft, totals.draft), (StepSource::Target, totals.target)] {
            assert_eq!(answer.runs_of(source).map(|run| run.generated).sum::<usize>(), of.generated);
            assert_eq!(answer.runs_of(source).count(), of.calls);
        }
    }
}

#[test]
#[allow(clippy::float_cmp, reason = "an exact 0 and an exact 1")]
fn no_draft_tokens_are_discarded_if_every_step_is_accepted_or_none_is_ahead() {
    let table = block_on(lookahead(&bench(1), &[0.5, 1.0], || ())).unwrap();
    assert_eq!(table.len(), 6);
    for row in &table {
        if row.lookahead == 0 || row.acceptance == 1.0 {
            assert_eq!(row.discarded, 0.0, "{row:?}");
        }
    }
    assert!(table.iter().any(|row| row.discarded > 0.0), "lookahead never discarded a token: {table:?}");
}

#[test]
fn a_client_is_served_by_the_target_and_by_rsd() {
    let table = block_on(concurrency(&bench(2), &[1], 2, 0.5, || ())).unwrap();
    assert_eq!(table.len(), 2);
    for row in &table {
        assert!(row.tokens_per_second > 0.0 && row.latency.0 <= row.latency.1, "{row:?}");
        assert!(row.latency.1 <= row.client_seconds.1, "{row:?}");
    }
}

#[test]
fn lengths_that_do_not_fit_are_left_out() {
    let scaling = block_on(scaling(&bench(3), &[10, 20_000], &[1, 5], &[0, 2], || ())).unwrap();
    let lengths: Vec<usize> = scaling.lengths.iter().map(|row| row.tokens).collect();
    assert_eq!(lengths, [10, 10]);
    assert_eq!((scaling.steps.len(), scaling.prefixes.len()), (2, 2));
}
