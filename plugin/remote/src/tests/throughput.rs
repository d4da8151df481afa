//! What the gateway costs where many answers are in flight: throughput beside that of the engine alone, and memory.
//!
//! The figures are printed and not asserted. `RSD_TEST_ROOM` is the number of answers at a time, `RSD_TEST_PACE_MS` the
//! engine's time for a token, `RSD_TEST_IN_FLIGHT` the number of answers whose memory is measured, and
//! `RSD_TEST_VOCABULARY` the size of the vocabulary.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use futures::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use rsd_core::{
    pipeline::{Request, Rsd, roles::Generator as _},
    policy::AfterRejection,
    sampling::Sampling,
};
use rsd_protocol::settings::TargetDownAction;
use tokio::time::Instant;

use super::{
    answers::PROMPT,
    endurance::{PATIENCE, ProcessUse, assert_nothing_stays, beside_engines, environment, model, pipeline},
    fake_engine::{FakeEngine, tokenizer},
};
use crate::{
    adapters::{CompletionCall, CompletionPrefix, EngineAdapter as _, VllmAdapter},
    transport::EngineRequest,
};

/// Steps of an answer.
const STEPS: usize = 8;

/// Steps of equal length, so that draft and target go on where the other one stopped.
fn recital(word: &str) -> String {
    let steps: Vec<String> = (0..STEPS).map(|number| format!("{word} {number:03}.\n\n")).collect();
    steps.concat()
}

/// What a gateway would ask for, too.
fn whole_answer(tokens: usize) -> EngineRequest {
    let (prompt, sampling) = (tokenizer().encode(PROMPT, false).unwrap(), Sampling::default());
    VllmAdapter.completion(&CompletionCall {
        model: "fake",
        prefix: CompletionPrefix::Ids(&prompt),
        max_tokens: tokens,
        sampling: &sampling,
        seed: 1,
        stop: &[],
        stream: true,
        logprobs: None,
    })
}

/// One whole answer of an engine, received and not looked at.
async fn received(client: &reqwest::Client, url: &str, request: &EngineRequest) {
    let sent = client.post(format!("{url}{}", request.path)).json(request.body.as_ref().unwrap()).send();
    let text = sent.await.unwrap().text().await.unwrap();
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
}

fn request(delta: f64) -> Request {
    let mut request = Request::text(PROMPT).max_tokens(200).delta(delta);
    request.overrides.after_rejection = Some(AfterRejection::Draft);
    request
}

/// Tokens of the answers, all in flight together.
async fn answers(rsd: &Rsd, room: usize, delta: f64) -> usize {
    let found = join_all((0..room).map(|_| rsd.complete(request(delta)))).await;
    found.into_iter().map(|found| found.unwrap().tokens.len()).sum()
}

/// The pace of both engines.
fn set_pace(engines: &[Arc<FakeEngine>; 2], pace: Duration) {
    for engine in engines {
        *engine.pace.lock() = pace;
    }
}

#[test]
fn many_answers_through_the_gateway_have_every_token_that_the_engine_gives_to_as_many_clients() {
    let pace = Duration::from_millis(environment("RSD_TEST_PACE_MS", 10) as u64);
    let (room, recitals) = (environment("RSD_TEST_ROOM", 16), ["draft", "other"].map(recital));
    let tokens = recitals[0].len();
    beside_engines([&recitals[0], &recitals[1]], move |engines, urls| async move {
        let client = reqwest::Client::new();
        let models = [model(&urls[0], PATIENCE, room).await, model(&urls[1], PATIENCE, room).await];
        let rsd = pipeline(&models, TargetDownAction::Fail);
        set_pace(&engines, pace);
        let (began, sent) = (Instant::now(), whole_answer(200));
        join_all((0..room).map(|_| received(&client, &urls[0], &sent))).await;
        let alone = (room * tokens) as f64 / began.elapsed().as_secs_f64();
        println!("{room} clients of the engine alone: {alone:.0} tokens/s at {pace:?} for a token");
        for (name, delta) in [("every step accepted", 0.0), ("every second step or so", 0.5), ("none accepted", 2.0)] {
            let connections = || engines.iter().map(|engine| engine.connections.load(SeqCst)).sum::<usize>();
            let (began, before, connected) = (Instant::now(), ProcessUse::now(), connections());
            let answered = answers(&rsd, room, delta).await;
            assert_eq!(answered, room * tokens);
            let (seconds, cpu) =
                (began.elapsed().as_secs_f64(), ProcessUse::now().gateway_seconds - before.gateway_seconds);
            let speed = answered as f64 / seconds;
            println!(
                "{room} answers, {name}: {speed:.0} tokens/s, {:.2} of the engine alone; {:.0} % of a core, {:.1} new \
                 connections for an answer",
                speed / alone,
                100.0 * cpu / seconds,
                (connections() - connected) as f64 / room as f64,
            );
        }
        drop((rsd, client));
        assert_nothing_stays(engines, models).await;
    });
}

#[test]
fn answers_in_flight_that_are_given_up_leave_nothing_behind() {
    let count = environment("RSD_TEST_IN_FLIGHT", 64);
    // A connection has two ends here; other tests of this process have some, too.
    let (needed, limit) = (2 * count + 200, ProcessUse::descriptor_limit());
    assert!(needed <= limit, "{needed} files are open, and the limit is {limit}: raise it with ulimit -n");
    let recitals = ["draft", "other"].map(recital);
    beside_engines([&recitals[0], &recitals[1]], move |engines, urls| async move {
        let models = [model(&urls[0], PATIENCE, count).await, model(&urls[1], PATIENCE, count).await];
        let rsd = pipeline(&models, TargetDownAction::Fail);
        assert!(answers(&rsd, 8, 0.5).await > 0);
        set_pace(&engines, Duration::from_secs(1));
        let before = ProcessUse::now();
        let mut in_flight: FuturesUnordered<_> = (0..count).map(|_| rsd.complete(request(0.0))).collect();
        let all = async {
            while engines[0].open.load(SeqCst) < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            ended = in_flight.next() => panic!("an answer is over: {ended:?}; {:?}", models[0].traffic()),
            all = tokio::time::timeout(PATIENCE, all) => assert!(all.is_ok(), "{:?}", models[0].traffic()),
        }
        let kib = ProcessUse::now().resident_kib.saturating_sub(before.resident_kib) as f64;
        println!("{count} answers in flight: {:.1} KiB for each, the engine's side of it included", kib / count as f64);
        drop(in_flight);
        drop(rsd);
        assert_nothing_stays(engines, models).await;
    });
}
