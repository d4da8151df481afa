//! A short run of each writing model before the server is ready, so that its speed is known before the first answer.

use std::time::Duration;

use tokio::time::Instant;

use crate::pipeline::{
    Rsd,
    observe::{Event, new_answer},
    roles::{Generator, Prompt, RoleError, RunReport, RunRequest},
    segment::{Boundary, Segmentation},
    trace::Source,
};

/// What is read: more than [`READ`] tokens in any vocabulary, and nothing that asks to be ended.
const TEXT: &str = "A train leaves the station at nine in the morning and travels north at sixty kilometres an hour. \
    Half an hour later a second train leaves the same station on the same track and travels north at ninety \
    kilometres an hour. We want to know when the second train reaches the first one, and how far from the station \
    both of them are by then. First we write down how far each of them has come after a given time, and then";

/// Tokens read.
const READ: usize = 64;
/// Tokens written.
const WRITTEN: usize = 16;
/// Tokens a model writes however long it takes: without any its speed would not be known.
const AT_LEAST: usize = 4;
/// After so long it writes no more than these.
const PATIENCE: Duration = Duration::from_secs(3);

/// Lets target and draft each read and write a little, and tells the observer what it cost. Their caches are empty
/// afterwards. A model that fails here is reported and left to show itself again.
pub async fn probe(rsd: &Rsd) {
    for (source, model) in [(Source::Target, &rsd.target), (Source::Draft, &rsd.draft)] {
        match run(model.as_ref()).await {
            Ok(report) => {
                tracing::info!(
                    role = model.role(),
                    read = report.prefilled,
                    read_seconds = report.prefill_seconds,
                    written = report.generated,
                    seconds = report.seconds,
                    "probed"
                );
                rsd.observer.observe(new_answer(), &Event::Ran { source, report: &report });
            }
            Err(error) => tracing::warn!(role = model.role(), %error, "the probe failed; speeds show with the answers"),
        }
    }
}

async fn run(model: &dyn Generator) -> Result<RunReport, RoleError> {
    let _turn = model.turn().await;
    let mut prefix = model.encode_prompt(&Prompt::Text(TEXT.to_owned())).await?;
    prefix.truncate(READ.min(model.context_length().saturating_sub(WRITTEN)));
    let segmentation = Segmentation { boundary: Boundary::Tokens(AT_LEAST), max_tokens: AT_LEAST };
    let request = RunRequest { lookahead: 0, ..RunRequest::greedy(prefix, segmentation, WRITTEN) };
    let mut run = model.start(request).await?;
    let patience = Instant::now() + PATIENCE;
    let mut failure = None;
    while let Some(step) = run.next().await {
        failure = step.err();
        if failure.is_some() || Instant::now() > patience {
            break;
        }
        run.accept();
    }
    let report = run.finish().await;
    // A prompt that begins like the probe's would find a prefix computed in another piece than alone.
    model.forget().await?;
    failure.map_or(Ok(report), Err)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::pipeline::{
        observe::Observer,
        tests::scripted::{World, block_on},
    };

    #[derive(Default)]
    struct Runs(Mutex<Vec<(Source, RunReport)>>);

    impl Observer for Runs {
        fn observe(&self, _: u64, event: &Event<'_>) {
            match event {
                Event::Ran { source, report } => self.0.lock().push((*source, **report)),
                other => panic!("{other:?}"),
            }
        }
    }

    fn probed(world: &World) -> Vec<(Source, RunReport)> {
        let runs = Arc::new(Runs::default());
        block_on(probe(&Rsd { observer: runs.clone(), ..world.rsd() }));
        let runs = runs.0.lock();
        runs.clone()
    }

    #[test]
    fn both_models_are_measured_on_a_bounded_piece_of_text() {
        for seed in 0..20 {
            let runs = probed(&World::new(seed));
            assert_eq!(runs.iter().map(|(source, _)| *source).collect::<Vec<_>>(), [Source::Target, Source::Draft]);
            for (_, report) in runs {
                assert_eq!(report.prompt, READ);
                assert!(report.generated <= WRITTEN, "{report:?}");
            }
        }
    }

    #[test]
    fn a_slow_model_is_measured_too_on_less() {
        let mut cut = 0;
        for seed in 0..20 {
            let mut world = World::new(seed);
            let whole = probed(&world)[0].1.generated;
            world.target.delay = Duration::from_secs(60);
            assert_eq!(probed(&world)[0].1.generated, whole.min(AT_LEAST));
            cut += usize::from(whole > AT_LEAST);
        }
        assert!(cut > 0);
    }

    #[test]
    fn a_model_that_fails_is_passed_over() {
        let mut world = World::new(3);
        world.target.fail_start = Some(0);
        assert_eq!(probed(&world).len(), 1);
    }
}
