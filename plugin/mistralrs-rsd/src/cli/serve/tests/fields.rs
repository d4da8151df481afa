//! Each supported option sets its own field and no other.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::table::{OPTIONS, OptionStatus};
use super::{parse, role};
use rsd_config::SettingOverride;

/// The rest of the command line, the option, the field of the role that it sets, and the value.
const FIELDS: &[(&str, &str, &str, &str)] = &[
    ("", "--model-id other", "/model_id", r#""other""#),
    ("", "-m other", "/model_id", r#""other""#),
    ("", "--tokenizer a/t.json", "/tokenizer", r#""a/t.json""#),
    ("", "-t a/t.json", "/tokenizer", r#""a/t.json""#),
    ("", "--arch phi3.5moe", "/arch", r#""phi3.5moe""#),
    ("", "-a qwen2", "/arch", r#""qwen2""#),
    ("", "--dtype bf16", "/dtype", r#""bf16""#),
    ("", "--dtype auto", "/dtype", r#""auto""#),
    ("", "--format plain", "/format", r#""plain""#),
    ("--format gguf -f a.gguf", "--quantized-file b.gguf;c.gguf", "/quantized_file", r#""b.gguf;c.gguf""#),
    ("--format gguf -f a.gguf", "-f b.gguf", "/quantized_file", r#""b.gguf""#),
    ("--format gguf -f a.gguf", "--tok-model-id t", "/tok_model_id", r#""t""#),
    ("--format ggml -f a.bin", "--gqa 8", "/gqa", "8"),
    ("", "--lora a;b", "/lora", r#""a;b""#),
    ("--xlora x --xlora-order o", "--xlora y", "/xlora", r#""y""#),
    ("--xlora x --xlora-order o", "--xlora-order p", "/xlora_order", r#""p""#),
    ("--xlora x --xlora-order o", "--tgt-non-granular-index 1", "/tgt_non_granular_index", "1"),
    ("", "--isq 4", "/isq", r#""4""#),
    ("", "--from-uqff q4k-0.uqff", "/from_uqff", r#""q4k-0.uqff""#),
    ("", "--isq-organization moqe", "/isq_organization", r#""moqe""#),
    ("", "--imatrix i.cimatrix", "/imatrix", r#""i.cimatrix""#),
    ("", "--calibration-file c.txt", "/calibration_file", r#""c.txt""#),
    ("", "--cpu", "/cpu", "true"),
    ("", "--device-layers 0:10;1:20", "/device_layers", r#"["0:10","1:20"]"#),
    ("", "-n 16", "/device_layers", r#"["16"]"#),
    ("", "--topology t.yml", "/topology", r#""t.yml""#),
    ("", "--max-seq-len 8192", "/max_seq_len", "8192"),
    ("", "--max-batch-size 2", "/max_batch_size", "2"),
    ("", "--paged-attn on", "/paged_attn/mode", r#""on""#),
    ("", "--paged-attn off", "/paged_attn/mode", r#""off""#),
    ("", "--pa-context-len 9", "/paged_attn/context_len", "9"),
    ("", "--pa-memory-mb 9", "/paged_attn/memory_mb", "9"),
    ("", "--pa-memory-fraction 0.5", "/paged_attn/memory_fraction", "0.5"),
    ("", "--pa-block-size 16", "/paged_attn/block_size", "16"),
    ("", "--pa-cache-type f8e4m3", "/paged_attn/cache_type", r#""f8e4m3""#),
    ("", "--chat-template c.jinja", "/chat_template", r#""c.jinja""#),
    ("", "-c c.jinja", "/chat_template", r#""c.jinja""#),
    ("", "--jinja-explicit j.jinja", "/jinja_explicit", r#""j.jinja""#),
    ("", "-j j.jinja", "/jinja_explicit", r#""j.jinja""#),
    ("", "--token-source env:TOKEN", "/token_source", r#""env:TOKEN""#),
];

/// Options that are in [`ServeArgs::overrides`]: the option, the path, the value, the name of the source.
const OVERRIDES: &[(&str, &str, &str, &str)] = &[
    ("--port 8080", "server.port", "8080", "--port"),
    ("-p 8080", "server.port", "8080", "--port"),
    ("--host 0.0.0.0", "server.host", r#""0.0.0.0""#, "--host"),
    ("--max-seqs 2", "limits.running", "2", "--max-seqs"),
    ("--api-key-env KEY", "server.api_key_env", r#""KEY""#, "--api-key-env"),
    ("--api-key-file key.txt", "server.api_key_file", r#""key.txt""#, "--api-key-file"),
    ("--set policy.delta=0.5", "policy.delta", "0.5", "--set"),
];

/// Options with an accessor of their own, which `line` tests, and those that clap handles.
const ELSEWHERE: &[&str] = &["prefix-cache-n", "seed", "log", "rsd", "dry-run", "help", "version"];

fn role_json(line: &str) -> Value {
    serde_json::to_value(role(line)).unwrap()
}

/// Adds `option` to `base` in place of the same option, because an option may be given only once.
fn with(base: &str, option: &str) -> String {
    let name = option.split(' ').next().unwrap();
    let long = match name {
        "--model-id" => "-m",
        "--quantized-file" => "-f",
        name => name,
    };
    let mut words: Vec<&str> = base.split(' ').filter(|word| !word.is_empty()).collect();
    if let Some(at) = words.iter().position(|word| *word == long) {
        words.drain(at..at + 2);
    }
    format!("{} {option}", words.join(" "))
}

#[test]
fn every_model_option_sets_its_field_alone() {
    for (context, option, pointer, expected) in FIELDS {
        let base = format!("-m m {context}");
        let mut expected_role = role_json(&base);
        *expected_role.pointer_mut(pointer).unwrap() = serde_json::from_str(expected).unwrap();
        let line = with(&base, option);
        assert_eq!(role_json(&line), expected_role, "{line}");
    }
}

#[test]
fn the_subcommands_auto_and_text_take_the_same_options() {
    let outside = ["/chat_template", "/jinja_explicit", "/token_source"];
    for (context, option, pointer, _) in FIELDS {
        let inner = with(&format!("-m m {context}"), option);
        for subcommand in ["auto", "text"] {
            let line = if outside.contains(pointer) {
                format!("{option} {subcommand} -m m")
            } else {
                format!("{subcommand} {inner}")
            };
            assert_eq!(role_json(&line), role_json(&inner), "{line}");
        }
    }
}

#[test]
fn every_server_option_overrides_its_value() {
    for (line, path, value, flag) in OVERRIDES {
        let args = parse(line);
        let value: serde_json::Value = serde_yaml::from_str(value).unwrap();
        assert!(args.overrides() == [SettingOverride::value(path, value, *flag)], "{line}");
        assert!(args.target().unwrap().is_none(), "{line}");
    }
    assert!(parse("-m m").overrides().is_empty(), "defaults are no overrides");
}

#[test]
fn no_supported_option_is_left_out_of_these_tests() {
    let tested: BTreeSet<&str> = FIELDS
        .iter()
        .map(|field| field.1)
        .chain(OVERRIDES.iter().map(|row| row.0))
        .filter_map(|line| line.split(' ').next()?.strip_prefix("--"))
        .chain(ELSEWHERE.iter().copied())
        .collect();
    let supported: BTreeSet<&str> =
        OPTIONS.iter().filter(|row| !matches!(row.status, OptionStatus::Unsupported(_))).map(|row| row.long).collect();
    assert_eq!(tested, supported);
}

#[test]
fn settings_come_before_named_options_and_keep_their_order() {
    let args = parse("--port 1 --set a.b=1 --set a.b=2");
    let set = |value| SettingOverride::value("a.b", value, "--set");
    assert!(args.overrides() == [set("1"), set("2"), SettingOverride::value("server.port", 1, "--port")]);
}
