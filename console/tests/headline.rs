//! What the overview's first sentence says in every state of a server.

use std::fmt::Write as _;

use proptest::prelude::*;
use rsd_console::{
    source::{ChannelFailure, SourceChannel, SourceUpdate},
    state::{
        headline::{HeadlineTone, ServerHeadline, example_request},
        server::ServerState,
    },
};
use rsd_protocol::policy::AnswerRoute;

use rsd_console::test_support::fixture;

const WINDOW_MS: u64 = 120_000;

/// A server of which two scrapes are known: one with nothing counted, and one with `steps` decided steps.
fn scraped(steps: u32, accepted: u32, more: &str) -> ServerState {
    let mut server = ServerState::new("127.0.0.1:1234", false);
    let counted = |accepted: u32, rejected: u32| {
        format!(
            "rsd_steps_total{{outcome=\"accepted\"}} {accepted}\nrsd_steps_total{{outcome=\"rejected\"}} {rejected}\n"
        )
    };
    let zero = "rsd_target_only_estimated_seconds_total 0\nrsd_answer_model_seconds_total 0\n\
                rsd_estimated_flops_total{accounting=\"total\"} 0\n\
                rsd_target_only_estimated_flops_total{accounting=\"total\"} 0\n\
                rsd_requests_total{outcome=\"failed\"} 0\n";
    server.receive(0, SourceUpdate::Metrics(counted(0, 0) + zero), WINDOW_MS);
    server.receive(1_000, SourceUpdate::Metrics(counted(accepted, steps - accepted) + more), WINDOW_MS);
    server
}

/// Counters by which RSD is `speedup` times as fast as the target alone and saves this fraction of FLOPs.
fn pays(speedup: f64, saved: f64) -> String {
    format!(
        "rsd_target_only_estimated_seconds_total {}\nrsd_answer_model_seconds_total 100\n\
         rsd_estimated_flops_total{{accounting=\"total\"}} {}\n\
         rsd_target_only_estimated_flops_total{{accounting=\"total\"}} 1000\n\
         rsd_requests_total{{outcome=\"failed\"}} 0\n",
        100.0 * speedup,
        1000.0 * (1.0 - saved)
    )
}

/// The same with the admin API.
fn with_status(mut server: ServerState, route: AnswerRoute, ready: bool) -> ServerState {
    let mut live = fixture::live(0.7);
    live.policy.route = route;
    let mut status = fixture::status("http://127.0.0.1:1234", &live, 3, true);
    status.ready = ready;
    server.receive(1_000, SourceUpdate::Status(Box::new(status)), WINDOW_MS);
    server
}

fn with_preview(mut server: ServerState, at: f64) -> ServerState {
    let mut live = fixture::live(at);
    live.policy.delta = at;
    let view = fixture::view(&live, 3);
    server.receive(1_000, SourceUpdate::Policy { etag: "1".into(), view: Box::new(view) }, WINDOW_MS);
    server.receive(1_000, SourceUpdate::Preview(Box::new(fixture::preview(at))), WINDOW_MS);
    server
}

/// A server whose target answers alone and that predicts RSD at this threshold.
fn target_alone(delta: f64) -> ServerState {
    with_status(with_preview(scraped(0, 0, ""), delta), AnswerRoute::Target, true)
}

/// A server that answered requests and then, for longer than the window, none.
fn idle_after_traffic() -> ServerState {
    let mut server = scraped(100, 81, &pays(1.4, 0.38));
    let counted = server_text(&pays(1.4, 0.38));
    for second in [2_u64, 125, 128] {
        server.receive(second * 1_000, SourceUpdate::Metrics(counted.clone()), WINDOW_MS);
    }
    server
}

/// What the console knows right after it was connected to a server that has answered requests before.
fn just_connected() -> ServerState {
    let mut server = ServerState::new("127.0.0.1:1234", false);
    server.receive(1_000, SourceUpdate::Metrics(server_text(&pays(1.4, 0.38))), WINDOW_MS);
    server
}

/// The same half a minute later, in which nothing was decided.
fn idle_since_connected() -> ServerState {
    let mut server = just_connected();
    server.receive(30_000, SourceUpdate::Metrics(server_text(&pays(1.4, 0.38))), WINDOW_MS);
    server
}

/// `/metrics` of a server that has decided 100 steps.
fn server_text(more: &str) -> String {
    format!("rsd_steps_total{{outcome=\"accepted\"}} 81\nrsd_steps_total{{outcome=\"rejected\"}} 19\n{more}")
}

fn failed(channel: SourceChannel) -> SourceUpdate {
    let cause = "cannot connect to http://127.0.0.1:1234/metrics".into();
    SourceUpdate::Failed(ChannelFailure { channel, cause, retry_at_ms: 9_000 })
}

fn states() -> Vec<(&'static str, ServerState, u64)> {
    let now = 2_000;
    let mut down = scraped(100, 81, &pays(1.4, 0.38));
    down.receive(1_500, failed(SourceChannel::Metrics), WINDOW_MS);
    let mut never_up = ServerState::new("a:1", false);
    never_up.receive(1_500, failed(SourceChannel::Metrics), WINDOW_MS);
    let mut no_metrics = with_status(ServerState::new("a:1", true), AnswerRoute::Rsd, true);
    no_metrics.receive(1_500, failed(SourceChannel::Metrics), WINDOW_MS);
    let mut one_scrape = ServerState::new("a:1", false);
    one_scrape.receive(1_000, SourceUpdate::Metrics("rsd_policy_delta 0.7".into()), WINDOW_MS);
    let seconds = |speedup: f64| {
        format!("rsd_target_only_estimated_seconds_total {}\nrsd_answer_model_seconds_total 100\n", 100.0 * speedup)
    };
    let flops = |saved: f64| pays(1.0, saved).lines().skip(2).collect::<Vec<_>>().join("\n");
    vec![
        ("connecting", ServerState::new("127.0.0.1:1235", true), now),
        ("stale", scraped(100, 81, &pays(1.4, 0.38)), 43_000),
        ("down", down, now),
        ("never up", never_up, now),
        ("metrics unreachable", no_metrics, now),
        ("not ready", with_status(scraped(100, 81, &pays(1.4, 0.38)), AnswerRoute::Rsd, false), now),
        ("target alone", with_status(scraped(100, 81, &pays(1.4, 0.38)), AnswerRoute::Target, true), now),
        ("target alone, by the metrics", scraped(0, 0, "rsd_policy_route{route=\"target\"} 1"), now),
        ("target alone, RSD would be faster", target_alone(0.5), now),
        ("target alone, RSD would be slower", target_alone(0.98), now),
        ("draft alone", with_status(scraped(100, 81, &pays(1.4, 0.38)), AnswerRoute::Draft, true), now),
        ("one scrape", one_scrape, now),
        ("no traffic", scraped(0, 0, ""), now),
        ("first request", scraped(0, 0, "rsd_requests_running 1"), now),
        ("only failures", scraped(0, 0, "rsd_requests_total{outcome=\"failed\"} 3"), now),
        ("no traffic any more", idle_after_traffic(), 129_000),
        ("just connected", just_connected(), now),
        ("connected a while ago, no traffic", idle_since_connected(), 31_000),
        ("warming up", scraped(7, 5, &pays(0.4, -0.2)), now),
        ("saves and faster", scraped(100, 81, &pays(1.4, 0.38)), now),
        ("faster, FLOPs unknown", scraped(100, 81, &seconds(1.4)), now),
        ("faster, more FLOPs", scraped(100, 81, &pays(1.4, -0.2)), now),
        ("same speed, saves", scraped(100, 81, &pays(1.01, 0.38)), now),
        ("same speed, same FLOPs", scraped(100, 81, &pays(1.01, 0.0)), now),
        ("same speed, more FLOPs", scraped(100, 81, &pays(1.0, -0.2)), now),
        ("speed unknown", scraped(100, 81, &flops(0.38)), now),
        ("speed unknown, more FLOPs", scraped(100, 81, &flops(-0.2)), now),
        ("nothing known", scraped(100, 81, ""), now),
        ("slower", scraped(100, 30, &pays(0.7, -0.1)), now),
        ("slower, saves", scraped(100, 81, &pays(0.7, 0.38)), now),
        ("slower, a lower threshold helps", with_preview(scraped(100, 30, &pays(0.7, 0.1)), 0.9), now),
        ("slower, no threshold helps", with_preview(scraped(100, 99, &pays(0.7, 0.1)), 0.0), now),
    ]
}

#[test]
fn the_headline_in_every_state() {
    let mut text = String::new();
    for (name, server, now_ms) in states() {
        let headline = ServerHeadline::of(&server, WINDOW_MS, now_ms);
        writeln!(text, "{name} ({:?})\n  {}\n  {}", headline.tone, headline.statement, headline.detail()).unwrap();
        writeln!(text, "  {}", headline.proposal.map_or_else(|| "-".into(), |proposal| proposal.by_command())).unwrap();
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_proposed_request_is_a_shell_command_for_this_server() {
    let server = with_status(ServerState::new("a", true), AnswerRoute::Rsd, true);
    let command = example_request(&server).join("\n").replace("curl", "printf '%s\\n'");
    let shell = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
    let words = String::from_utf8(shell.stdout).unwrap();
    let (url, rest) = words.split_once('\n').unwrap();
    assert_eq!(url, "http://127.0.0.1:1234/v1/chat/completions");
    let body: serde_json::Value = serde_json::from_str(rest.split_once("-d\n").unwrap().1).unwrap();
    assert_eq!((body["model"].as_str(), body["messages"][0]["role"].as_str()), (Some("rsd"), Some("user")));
    let by_name = example_request(&ServerState::new("10.0.0.8:1234", false));
    assert!(by_name[0].starts_with("curl http://10.0.0.8:1234/v1/"), "{by_name:?}");
}

proptest! {
    #[test]
    fn a_slower_server_is_never_good_news_and_a_faster_one_that_saves_always_is(
        speedup in 0.0..5.0_f64, saved in -3.0..1.0_f64, steps in 20..5_000_u32, share in 0.0..=1.0_f64,
    ) {
        let accepted = (f64::from(steps) * share).floor();
        let server = scraped(steps, format!("{accepted}").parse().unwrap(), &pays(speedup, saved));
        let headline = ServerHeadline::of(&server, WINDOW_MS, 2_000);
        if speedup < 0.97 {
            prop_assert_eq!(headline.tone, HeadlineTone::Bad);
            prop_assert!(headline.statement.starts_with("RSD costs time"), "{}", headline.statement);
        } else if speedup > 1.03 && saved > 0.01 {
            prop_assert_eq!(headline.tone, HeadlineTone::Good);
            prop_assert!(headline.statement.contains("as fast as the target alone"), "{}", headline.statement);
        }
        prop_assert!(!headline.detail().is_empty());
    }
}
