//! The warm-up: a short run of target and draft before the server is ready, so that their speeds are known before the
//! first answer.

use std::time::Duration;

use tokio::time::Instant;

use crate::pipeline::{
    Rsd,
    observe::{PipelineEvent, new_answer_id},
    roles::{Generator, Prompt, RoleError, RunReport, RunRequest},
    segment::{Segmentation, StepBoundary},
    trace::StepSource,
};

/// The prompt: more than [`PREFILL_TOKENS`] tokens in any vocabulary, and no text that a model would end.
const TEXT: &str = "A train leaves the station at nine in the morning and travels north at sixty kilometers an hour. \
    Half an hour later a second train leaves the same station on the same track and travels north at ninety \
    kilometers an hour. We want to know when the second train reaches the first one, and how far from the station \
    both of them are by then. First we write down how far each of them has come after a given time, and then";

/// Tokens to prefill.
const PREFILL_TOKENS: usize = 64;
/// Tokens to decode.
const DECODE_TOKENS: usize = 16;
/// Tokens that a model decodes however long it takes; without any its speed would be unknown.
const MIN_DECODE_TOKENS: usize = 4;
/// Time after which it decodes no more than these.
const PATIENCE: Duration = Duration::from_secs(3);

/// Runs target and draft on a short prompt, and reports the cost to the observer. Their caches are cleared afterwards.
/// A model that fails here is logged and otherwise ignored: it fails again with the first request.
pub async fn warm_up(rsd: &Rsd) {
    for (source, model) in [(StepSource::Target, &rsd.target), (StepSource::Draft, &rsd.draft)] {
        match run(model.as_ref()).await {
            Ok(report) => {
                tracing::info!(
                    role = model.role(),
                    prefilled = report.prefilled,
                    prefill_seconds = report.prefill_seconds,
                    decoded = report.generated,
                    seconds = report.seconds,
                    "warmed up"
                );
                rsd.record_run(source, &report);
                rsd.observer.observe(new_answer_id(), &PipelineEvent::RunFinished { source, report: &report });
            }
            Err(error) => {
                tracing::warn!(role = model.role(), %error, "the warm-up failed; this model's speed is unknown for now");
            }
        }
    }
}

async fn run(model: &dyn Generator) -> Result<RunReport, RoleError> {
    let _permit = model.answer_permit().await;
    let mut prefix = model.encode_prompt(&Prompt::Text(TEXT.to_owned())).await?;
    prefix.truncate(PREFILL_TOKENS.min(model.context_length().saturating_sub(DECODE_TOKENS)));
    let segmentation =
        Segmentation { boundary: StepBoundary::Tokens(MIN_DECODE_TOKENS), max_tokens: MIN_DECODE_TOKENS };
    let request = RunRequest { lookahead: 0, ..RunRequest::greedy(prefix, segmentation, DECODE_TOKENS) };
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
    // A request with the same beginning would otherwise reuse a prefix that was computed in other pieces.
    model.clear_cache().await?;
    failure.map_or(Ok(report), Err)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::pipeline::{
        observe::PipelineObserver,
        testing::{World, block_on},
    };

    #[derive(Default)]
    struct RunCollector(Mutex<Vec<(StepSource, RunReport)>>);

    impl PipelineObserver for RunCollector {
        fn observe(&self, _: u64, event: &PipelineEvent<'_>) {
            match event {
                PipelineEvent::RunFinished { source, report } => self.0.lock().push((*source, **report)),
                other => panic!("{other:?}"),
            }
        }
    }

    fn warmed_up(world: &World) -> Vec<(StepSource, RunReport)> {
        let runs = Arc::new(RunCollector::default());
        block_on(warm_up(&Rsd { observer: runs.clone(), ..world.rsd() }));
        let runs = runs.0.lock();
        runs.clone()
    }

    #[test]
    fn both_models_are_measured_on_a_bounded_piece_of_text() {
        for seed in 0..20 {
            let runs = warmed_up(&World::new(seed));
            assert_eq!(
                runs.iter().map(|(source, _)| *source).collect::<Vec<_>>(),
                [StepSource::Target, StepSource::Draft]
            );
            for (_, report) in runs {
                assert_eq!(report.prompt, PREFILL_TOKENS);
                assert!(report.generated <= DECODE_TOKENS, "{report:?}");
            }
        }
    }

    #[test]
    fn a_slow_model_is_measured_too_on_less() {
        let mut cut = 0;
        for seed in 0..20 {
            let mut world = World::new(seed);
            let whole = warmed_up(&world)[0].1.generated;
            world.target.delay = Duration::from_secs(60);
            assert_eq!(warmed_up(&world)[0].1.generated, whole.min(MIN_DECODE_TOKENS));
            cut += usize::from(whole > MIN_DECODE_TOKENS);
        }
        assert!(cut > 0);
    }

    #[test]
    fn a_model_that_fails_is_skipped() {
        let mut world = World::new(3);
        world.target.fail_start = Some(0);
        assert_eq!(warmed_up(&world).len(), 1);
    }
}
