use std::time::Duration;

use clap::Parser;

use super::{EvalArgs, questions::duration};
use crate::{evaluation::Method, pipeline::trace::Source};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: EvalArgs,
}

fn parse(line: &str) -> Result<EvalArgs, String> {
    let words = ["eval", "--out", "o"].into_iter().chain(line.split_whitespace());
    Line::try_parse_from(words).map(|line| line.args).map_err(|error| error.to_string())
}

#[test]
fn methods_are_taken_once() {
    let args = parse("--sweep 0.1,-1 --methods oracle-target,best-of-n,majority,rsd").unwrap();
    let samples = Method::Samples(Source::Draft);
    let wanted = [Method::OracleTarget, samples, Method::Rsd, Method::Sweep(0.1), Method::Sweep(-1.0)];
    assert_eq!(args.methods().unwrap(), wanted);
    assert_eq!(parse("--methods sd --proposals 7").unwrap().methods().unwrap(), [Method::Speculative(7)]);
    let args = parse("--methods majority,rsd --samples-from target,draft").unwrap();
    assert_eq!(args.methods().unwrap(), [Method::Samples(Source::Target), samples, Method::Rsd]);
    assert_eq!(args.wanted(), ["majority (target)", "majority (draft)", "rsd"]);
    let args = parse("--report-only --methods target --sweep 0.5,0.25").unwrap();
    assert_eq!(args.wanted(), ["target", "rsd@0.5", "rsd@0.25"]);
    assert!(parse("--samples-from reward").unwrap_err().contains("expected draft or target"));
    let error = parse("--methods target,rds").unwrap().methods().unwrap_err().to_string();
    assert!(error.starts_with("--methods rds: no method of that name"), "{error}");
}

#[test]
fn times_are_read_with_their_unit() {
    assert_eq!(duration("90m"), Ok(Duration::from_secs(5400)));
    assert_eq!(duration("1.5h"), Ok(Duration::from_secs(5400)));
    assert_eq!(duration("20s"), Ok(Duration::from_secs(20)));
    for wrong in ["", "90", "m", "-1s", "1d", "1é"] {
        assert!(duration(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_server_is_not_asked_with_a_deployment_of_ones_own() {
    assert!(parse("--url http://127.0.0.1:1 --rsd x.yaml").is_err());
    assert!(parse("--api-key-env KEY").is_err());
    assert!(parse("--url http://127.0.0.1:1 --api-key-env KEY").is_ok());
}

#[test]
fn commands_are_logged_without_secrets() {
    let told = super::settings::without_secrets;
    assert_eq!(told("roles.target.token_source=literal:hf_x"), "roles.target.token_source=...");
    assert_eq!(told("--set=roles.draft.token_source=env:X"), "--set=roles.draft.token_source=...");
    assert_eq!(told("http://me:secret@host:1234/x"), "http://host:1234/x");
    assert_eq!(told("http://127.0.0.1:1234"), "http://127.0.0.1:1234");
}
