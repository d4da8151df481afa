//! Long runs of draft and target on remote engines: faults of every kind, and answers by the thousand.
//!
//! Engines have threads of their own, so that the tasks and the CPU time of the gateway are known.
//! `RSD_TEST_FAULTS` and `RSD_TEST_ANSWERS` make the runs longer, `RSD_TEST_SEED` chooses other faults.

use std::{
    fs,
    ops::Range,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use rsd_core::{
    pipeline::{
        FinishReason, PipelineError, Request, Rsd,
        roles::{Generator, RoleError},
        segment::StepBoundary,
        testing::World,
        trace::{FallbackReason, StepSource, StepTrace},
    },
    policy::AfterRejection,
    sampling::uniform,
};
use rsd_protocol::settings::TargetDownAction;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    answers::{DRAFT, PROMPT, TARGET},
    fake_engine::{EngineFault, FakeEngine, settings},
};
use crate::{
    RemoteModel, RemoteSettings,
    adapters::VllmAdapter,
    transport::{BreakerSettings, TransportSettings},
};

/// Answers at a time, unless `RSD_TEST_ROOM` sets their number.
const ROOM: usize = 64;
/// Limit on the time of an answer while engines fail.
const DEADLINE: Duration = Duration::from_secs(10);
/// The same where they are well: as long as a busy machine may take for all answers at a time.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn environment(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().map_or(usual, |value| value.parse().unwrap())
}

/// Answers at a time.
fn room() -> usize {
    environment("RSD_TEST_ROOM", ROOM)
}

fn threads(name: &str) -> Runtime {
    Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build().unwrap()
}

/// Runs a gateway beside two engines and waits until it is over.
pub(super) fn beside_engines<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    recitals: [&str; 2],
    run: impl FnOnce([Arc<FakeEngine>; 2], [String; 2]) -> F,
) -> T {
    let (engine_threads, gateway_threads) = (threads("engine"), threads("gateway"));
    let [(draft, draft_url), (target, target_url)] = engine_threads.block_on(async {
        [FakeEngine::serve(recitals[0], PROMPT.len()).await, FakeEngine::serve(recitals[1], PROMPT.len()).await]
    });
    // On a thread of the gateway, not on this one.
    let run = gateway_threads.spawn(run([draft, target], [draft_url, target_url]));
    gateway_threads.block_on(run).unwrap()
}

/// A model on one engine, which may keep silent for this long and takes so many requests at a time.
pub(super) async fn model(url: &str, silence: Duration, room: usize) -> Arc<RemoteModel> {
    let settings = settings(Some(Box::new(VllmAdapter)), &[url.to_owned()]);
    let waits = [10, 50].map(Duration::from_millis);
    let transport = TransportSettings {
        max_concurrency: room,
        first_wait: waits[0],
        breaker: BreakerSettings { failures: 5, first_wait: waits[0], longest_wait: waits[1] },
        first_event: silence,
        between_events: silence,
        ..settings.transport
    };
    Arc::new(RemoteModel::connect(RemoteSettings { transport, ..settings }).await.unwrap())
}

pub(super) fn pipeline(models: &[Arc<RemoteModel>; 2], on_target_down: TargetDownAction) -> Rsd {
    let mut world = World::new(7);
    world.settings.boundary = StepBoundary::Delimiter(vec!["\n\n".to_owned()]);
    world.runtime.steps.max_tokens = 40;
    world.runtime.limits.on_target_down = on_target_down;
    Rsd { draft: models[0].clone(), target: models[1].clone(), ..world.rsd() }
}

/// Each step is what its model says at this place, and together they are the text.
fn assert_composed(steps: &[StepTrace], text: &str) {
    let expected: String = steps
        .iter()
        .enumerate()
        .map(|(index, step)| {
            let recital = if step.source == StepSource::Draft { DRAFT } else { TARGET };
            recital.split_inclusive("\n\n").nth(index).unwrap()
        })
        .collect();
    assert_eq!(text, expected);
}

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AnswerEnding {
    Whole { tokens: usize, by_draft: bool },
    Failed,
}

/// One answer, which is whole, or a beginning and an error with the address of the engine, and in time.
async fn answer(rsd: &Rsd, number: usize, limit: Duration) -> AnswerEnding {
    let mut request = Request::text(PROMPT).max_tokens(200).delta([0.0, 0.4, 0.6, 2.0][number % 4]);
    let ways = [AfterRejection::Draft, AfterRejection::Target];
    request.overrides.after_rejection = Some(ways[number / 4 % 2]);
    let began = Instant::now();
    request.deadline = Some(began + limit);
    let (mut text, mut steps) = (String::new(), Vec::new());
    let answered = rsd.answer(
        request,
        |part| {
            text.push_str(&part.text);
            steps.extend(part.step);
        },
        CancellationToken::new(),
    );
    let result = tokio::time::timeout(2 * limit, answered).await.unwrap();
    assert_composed(&steps, &text);
    match result {
        Ok(outcome) => {
            assert_eq!((&outcome.text, outcome.finish), (&text, FinishReason::Stop), "after {:?}", began.elapsed());
            assert_eq!(steps.len(), 4, "{text:?}");
            let totals = &outcome.trace.totals;
            let by_draft = steps.iter().any(|step| step.fallback == Some(FallbackReason::TargetFailed));
            AnswerEnding::Whole { tokens: totals.draft.generated + totals.target.generated, by_draft }
        }
        Err(PipelineError::Role(RoleError::Failed { reason, .. })) => {
            assert!(reason.contains("http://127.0.0.1:"), "{reason}");
            AnswerEnding::Failed
        }
        Err(other) => panic!("{other}"),
    }
}

fn fault(seed: u64, engine: u64, number: u64) -> EngineFault {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number")]
    let draw = |most: f64, which| (uniform(seed, engine, 2 * number + which) * most) as usize;
    let after = draw(20.0, 1);
    match draw(10.0, 0) {
        0 => EngineFault::Status(503),
        1 => EngineFault::Status(500),
        2 => EngineFault::Status(429),
        3 => EngineFault::Status(400),
        4 => EngineFault::End(after),
        5 => EngineFault::ErrorEvent(after),
        6 => EngineFault::Hang(after),
        7 => EngineFault::Garbage(after),
        _ => EngineFault::Break(after),
    }
}

/// Waits for what the network does in its own time.
pub(super) async fn eventually(what: &str, happened: impl Fn() -> bool) {
    for _ in 0..1000 {
        if happened() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not {what}");
}

/// After the last answer: nothing is under way; after the models are gone: no task and no connection is left.
pub(super) async fn assert_nothing_stays(engines: [Arc<FakeEngine>; 2], models: [Arc<RemoteModel>; 2]) {
    for model in &models {
        eventually("all requests over", || model.traffic().is_some_and(|traffic| traffic.in_flight == 0)).await;
        assert_eq!(model.traffic().unwrap().waiting, 0);
    }
    drop(models);
    eventually("no task but this one", || Handle::current().metrics().num_alive_tasks() == 1).await;
    eventually("no stream", || engines.iter().all(|engine| engine.open.load(SeqCst) == 0)).await;
}

/// Answers, a few at a time and by both pipelines in turn, until the engines have no fault left to show.
async fn answer_while_faults_last(engines: &[Arc<FakeEngine>; 2], pipelines: &[Rsd; 2]) -> Vec<AnswerEnding> {
    stream::iter(0..)
        .take_while(|_| std::future::ready(engines.iter().any(|engine| !engine.faults.lock().is_empty())))
        .map(async |number: usize| {
            let ending = answer(&pipelines[number / 8 % 2], number, DEADLINE).await;
            // An engine that is left alone fails at once.
            tokio::time::sleep(Duration::from_millis(5)).await;
            ending
        })
        .buffer_unordered(ROOM / 2)
        .collect()
        .await
}

#[test]
fn whatever_fails_and_however_often_answers_are_whole_or_errors_in_time_and_nothing_stays_behind() {
    let (seed, faults) = (environment("RSD_TEST_SEED", 1) as u64, environment("RSD_TEST_FAULTS", 300) as u64);
    println!("RSD_TEST_SEED={seed} RSD_TEST_FAULTS={faults}");
    let (endings, openings) = beside_engines([DRAFT, TARGET], move |engines, [draft, target]| async move {
        let silence = Duration::from_millis(300);
        let models = [model(&draft, silence, ROOM).await, model(&target, silence, ROOM).await];
        for (which, engine) in (0..).zip(&engines) {
            engine.faults.lock().extend((0..faults / 2).map(|number| fault(seed, which, number)));
            engine.started.store(1, SeqCst);
        }
        let pipelines = [TargetDownAction::Fail, TargetDownAction::Draft].map(|action| pipeline(&models, action));
        let mut endings = answer_while_faults_last(&engines, &pipelines).await;
        // An outage of each, which is met whatever the machine does meanwhile: nothing succeeds until it is over.
        for engine in &engines {
            engine.faults.lock().extend([EngineFault::Status(500); 40]);
            endings.extend(answer_while_faults_last(&engines, &pipelines).await);
        }
        // The engines are well again, and so is the gateway after a moment.
        for model in &models {
            tokio::time::sleep(Duration::from_millis(60)).await;
            for number in 0..8 {
                answer(&pipelines[0], number, DEADLINE).await;
            }
            let traffic = model.traffic().unwrap();
            assert!(traffic.endpoints.iter().all(|endpoint| endpoint.usable), "{traffic:?}");
        }
        for number in 0..16 {
            assert!(matches!(
                answer(&pipelines[0], number, DEADLINE).await,
                AnswerEnding::Whole { by_draft: false, .. }
            ));
        }
        let openings: Vec<u64> = models.iter().map(|model| model.health().deaths).collect();
        drop(pipelines);
        assert_nothing_stays(engines, models).await;
        (endings, openings)
    });
    let count = |ending: fn(&AnswerEnding) -> bool| endings.iter().filter(|found| ending(found)).count();
    let whole = count(|ending| matches!(ending, AnswerEnding::Whole { by_draft: false, .. }));
    let by_draft = count(|ending| matches!(ending, AnswerEnding::Whole { by_draft: true, .. }));
    let failed = count(|ending| *ending == AnswerEnding::Failed);
    println!("{whole} whole, {by_draft} finished by the draft, {failed} failed; engines left alone {openings:?} times");
    assert!(whole > 0 && by_draft > 0 && failed > 0 && openings.iter().all(|count| *count > 0));
}

/// What the process holds, as Linux shows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProcessUse {
    pub resident_kib: usize,
    descriptors: usize,
    /// CPU seconds of the threads of the gateway, in steps of 10 ms.
    pub gateway_seconds: f64,
}

impl ProcessUse {
    pub fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let entries = |folder: &str| fs::read_dir(folder).unwrap().filter_map(Result::ok).map(|entry| entry.path());
        let ticks = entries("/proc/self/task").filter_map(|thread| {
            let stat = fs::read_to_string(thread.join("stat")).ok()?;
            let (name, fields) = stat.split_once('(')?.1.rsplit_once(") ")?;
            let time: Vec<f64> = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
            (name == "gateway").then(|| time.iter().sum::<f64>())
        });
        Self {
            resident_kib: resident.trim().trim_end_matches(" kB").parse().unwrap(),
            descriptors: entries("/proc/self/fd").count(),
            gateway_seconds: ticks.sum::<f64>() / 100.0,
        }
    }

    /// Limit on the files that this process has open.
    pub fn descriptor_limit() -> usize {
        let limits = fs::read_to_string("/proc/self/limits").unwrap();
        let limit = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next());
        limit.unwrap().parse().unwrap_or(usize::MAX)
    }
}

/// The tokens that the engines decoded for these answers.
async fn all_of(rsd: &Rsd, numbers: Range<usize>) -> usize {
    let rsd = rsd.clone();
    let one = move |number| {
        let rsd = rsd.clone();
        async move { answer(&rsd, number, PATIENCE).await }
    };
    let endings = stream::iter(numbers).map(one).buffer_unordered(room());
    endings
        .fold(0, |sum, ending| {
            let AnswerEnding::Whole { tokens, .. } = ending else { panic!("the engines are well") };
            std::future::ready(sum + tokens)
        })
        .await
}

#[test]
fn answers_by_the_thousand_leave_memory_tasks_and_descriptors_as_they_were() {
    let answers = environment("RSD_TEST_ANSWERS", 192);
    let (warm, end, tokens) = beside_engines([DRAFT, TARGET], move |engines, [draft, target]| async move {
        let models = [model(&draft, PATIENCE, room()).await, model(&target, PATIENCE, room()).await];
        let rsd = pipeline(&models, TargetDownAction::Fail);
        all_of(&rsd, 0..answers / 3).await;
        let warm = ProcessUse::now();
        let tokens = all_of(&rsd, answers / 3..answers).await;
        let end = ProcessUse::now();
        drop(rsd);
        assert_nothing_stays(engines, models).await;
        (warm, end, tokens)
    });
    let seconds = end.gateway_seconds - warm.gateway_seconds;
    println!("RSD_TEST_ANSWERS={answers}: {warm:?}, then {end:?}");
    println!("{tokens} tokens, {:.1} CPU microseconds of the gateway for each", 1e6 * seconds / tokens as f64);
    // Other tests of this process run beside a short run.
    if answers >= 3000 {
        assert!(end.resident_kib < warm.resident_kib + (16 << 10), "memory grows");
        assert!(end.descriptors < warm.descriptors + room(), "descriptors grow");
    }
}
