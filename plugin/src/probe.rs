//! A short run of each writing model before the server is ready, so that its speed is known before the first answer.

use std::time::Duration;

use tokio::time::timeout;

use crate::{
    pipeline::{
        Rsd,
        observe::{Event, new_answer},
        roles::{Generator, Prompt, RoleError, RunReport, RunRequest},
        segment::{Boundary, Segmentation},
        trace::Source,
    },
    sampling::{Sampling, Stream},
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
/// After so long a model writes no further token.
const PATIENCE: Duration = Duration::from_secs(4);

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
    let mut run = model
        .start(RunRequest {
            prefix,
            position: 0,
            sampling: Sampling::default(),
            stream: Stream::Target.id(),
            segmentation: Segmentation { boundary: Boundary::Tokens(WRITTEN), max_tokens: WRITTEN },
            max_tokens: WRITTEN,
            max_steps: None,
            lookahead: usize::MAX,
            stop: Vec::new(),
            tail: Vec::new(),
            logprobs: None,
            features: false,
        })
        .await?;
    let mut failure = None;
    let written = async {
        while let Some(step) = run.next().await {
            if let Err(error) = step {
                failure = Some(error);
                break;
            }
        }
    };
    // Out of patience is no failure: what was written by then tells the speed too.
    let _ = timeout(PATIENCE, written).await;
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

    #[test]
    fn both_models_are_measured_on_a_bounded_piece_of_text() {
        let runs = Arc::new(Runs::default());
        let world = World::new(3);
        block_on(probe(&Rsd { observer: runs.clone(), ..world.rsd() }));
        let runs = runs.0.lock();
        assert_eq!(runs.iter().map(|(source, _)| *source).collect::<Vec<_>>(), [Source::Target, Source::Draft]);
        for (_, report) in runs.iter() {
            assert_eq!(report.prompt, READ);
            assert!(report.generated <= WRITTEN, "{report:?}");
        }
    }

    #[test]
    fn a_model_that_fails_is_passed_over() {
        let runs = Arc::new(Runs::default());
        let mut world = World::new(3);
        world.target.fail_start = Some(0);
        block_on(probe(&Rsd { observer: runs.clone(), ..world.rsd() }));
        assert_eq!(runs.0.lock().len(), 1);
    }
}
