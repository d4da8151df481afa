use super::{Bench, Way, crowds, lookahead, scaling};
use crate::pipeline::{
    tests::scripted::{World, block_on},
    trace::Source,
};

fn bench(seed: u64) -> Bench {
    let world = World::new(seed);
    Bench { rsd: world.rsd(), prompts: vec![world.request.prompt.clone()], rounds: 3, max_tokens: 60 }
}

#[test]
fn the_two_sides_of_a_ratio_write_the_same() {
    for seed in 0..20 {
        let bench = bench(seed);
        let tokens = |way| {
            let meter = block_on(bench.answer(&bench.prompts[0], way, 0)).unwrap();
            meter.outcome.tokens
        };
        assert_eq!(tokens(Way::Draft), tokens(Way::Delta(0.0)));
        assert_eq!(tokens(Way::Target), tokens(Way::Delta(2.0)));
        assert_eq!(tokens(Way::Draft), tokens(Way::Keeping(1.0, 0)));
        assert_eq!(tokens(Way::Target), tokens(Way::Keeping(0.0, 0)));
    }
}

#[test]
fn the_meter_and_the_trace_count_the_same_work() {
    for seed in 0..20 {
        let bench = bench(seed);
        let meter = block_on(bench.answer(&bench.prompts[0], Way::Keeping(0.5, 0), 1)).unwrap();
        let totals = &meter.outcome.trace.totals;
        for (source, of) in [(Source::Draft, totals.draft), (Source::Target, totals.target)] {
            assert_eq!(meter.of(source).map(|run| run.generated).sum::<usize>(), of.generated);
            assert_eq!(meter.of(source).count(), of.calls);
        }
    }
}

#[test]
fn nothing_is_thrown_away_where_every_step_is_kept_or_none_is_ahead() {
    let table = block_on(lookahead(&bench(1), &[0.5, 1.0], || ())).unwrap();
    assert_eq!(table.len(), 6);
    for row in &table {
        if row.lookahead == 0 || row.keeping == 1.0 {
            assert_eq!(row.wasted, 0.0, "{row:?}");
        }
    }
    assert!(table.iter().any(|row| row.wasted > 0.0), "lookahead never wasted a token: {table:?}");
}

#[test]
fn a_client_is_served_by_the_target_and_by_rsd() {
    let table = block_on(crowds(&bench(2), &[1], 2, 0.5, || ())).unwrap();
    assert_eq!(table.len(), 2);
    for row in &table {
        assert!(row.tokens_per_second > 0.0 && row.latency.0 <= row.latency.1, "{row:?}");
        assert!(row.latency.1 <= row.through.1, "{row:?}");
    }
}

#[test]
fn lengths_that_do_not_fit_are_left_out() {
    let scaling = block_on(scaling(&bench(3), &[10, 20_000], &[1, 5], &[0, 2], || ())).unwrap();
    let lengths: Vec<usize> = scaling.lengths.iter().map(|row| row.tokens).collect();
    assert_eq!(lengths, [10, 10]);
    assert_eq!((scaling.steps.len(), scaling.prefixes.len()), (2, 2));
}
