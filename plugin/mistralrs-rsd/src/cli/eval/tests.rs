use clap::Parser;

use super::{EvalArgs, grading::check_methods};
use rsd_core::pipeline::trace::StepSource;
use rsd_evaluation::{
    question::{self, QuestionFields},
    runner::Method,
};

#[derive(Parser)]
struct EvalLine {
    #[command(flatten)]
    args: EvalArgs,
}

fn parse(line: &str) -> Result<EvalArgs, String> {
    let words = ["eval", "--out", "o"].into_iter().chain(line.split_whitespace());
    EvalLine::try_parse_from(words).map(|line| line.args).map_err(|error| error.to_string())
}

#[test]
fn methods_are_taken_once() {
    let args = parse("--sweep 0.1,-1 --methods oracle-target,best-of-n,majority,rsd").unwrap();
    let samples = Method::Samples(StepSource::Draft);
    let methods = [Method::OracleTarget, samples, Method::Rsd, Method::Sweep(0.1), Method::Sweep(-1.0)];
    assert_eq!(args.methods().unwrap(), methods);
    assert_eq!(parse("--methods sd --proposals 7").unwrap().methods().unwrap(), [Method::Speculative(7)]);
    let args = parse("--methods majority,rsd --samples-from target,draft").unwrap();
    assert_eq!(args.methods().unwrap(), [Method::Samples(StepSource::Target), samples, Method::Rsd]);
    assert_eq!(args.report_names(), ["majority (target)", "majority (draft)", "rsd"]);
    let args = parse("--report-only --methods target --sweep 0.5,0.25").unwrap();
    assert_eq!(args.report_names(), ["target", "rsd@0.5", "rsd@0.25"]);
    assert_eq!(parse("--report-only --report-questions 5").unwrap().report_questions, 5);
    assert!(parse("--samples-from reward").unwrap_err().contains("expected draft or target"));
    let error = parse("--methods target,rds").unwrap().methods().unwrap_err().to_string();
    assert!(error.starts_with("--methods rds: there is no method `rds`"), "{error}");
}

#[test]
fn code_is_not_run_unless_that_is_allowed_nor_graded_while_a_model_answers() {
    assert!(!parse("").unwrap().allow_execution);
    assert!(parse("--report-only --allow-execution").unwrap().allow_execution);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), r#"{"task_id":1,"text":"Write f.","test_list":["assert f(1)"]}"#).unwrap();
    let code = question::read(file.path(), &QuestionFields::default()).unwrap();
    assert!(check_methods(&code, &[Method::Target, Method::OracleTarget]).is_ok());
    let error = check_methods(&code, &[Method::OracleAnswer]).unwrap_err().to_string();
    assert!(error.starts_with("--methods oracle-answer: "), "{error}");
    assert!(check_methods(&[], &[Method::OracleAnswer]).is_ok());
}

#[test]
fn a_server_is_not_asked_with_a_deployment_of_ones_own() {
    assert!(parse("--url http://127.0.0.1:1 --rsd x.yaml").is_err());
    assert!(parse("--api-key-env KEY").is_err());
    assert!(parse("--url http://127.0.0.1:1 --api-key-env KEY").is_ok());
}
