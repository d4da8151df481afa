//! Whole command lines, valid and invalid ones.

use std::path::Path;

use clap::error::ErrorKind;

use super::super::{FlagError, TargetFromLine};
use super::{parse, role, target, try_parse};
use rsd_config::{ModelFormat, PagedAttnMode};

fn message(line: &str) -> String {
    match target(line) {
        Err(error) => error.to_string(),
        Ok(target) => panic!("{line}: accepted as {target:?}"),
    }
}

#[test]
fn without_a_model_the_file_names_the_target() {
    assert!(target("--rsd d.yaml -p 80 --seed 3").unwrap().is_none());
}

#[test]
fn a_line_of_mistralrs_carries_over_with_the_file_added_anywhere() {
    let line = "-p 1234 --isq 4 -m org/model";
    for line in [format!("--rsd d.yaml {line}"), format!("{line} --rsd d.yaml")] {
        let args = parse(&line);
        assert_eq!(args.named_file().unwrap(), Some(Path::new("d.yaml")));
        assert_eq!(role(&line).isq.as_deref(), Some("4"));
    }
    let args = parse("--log requests.log text -m org/model --seed 5 --rsd d.yaml --dry-run");
    assert_eq!(args.named_file().unwrap(), Some(Path::new("d.yaml")));
    assert_eq!(args.seed(), Some(5));
    assert_eq!(args.log(), Some(Path::new("requests.log")));
    assert!(args.dry_run());
    assert_eq!(parse("-l requests.log").log(), Some(Path::new("requests.log")));
    let plain = parse("");
    assert!(!plain.dry_run());
    assert_eq!((plain.seed(), plain.log(), plain.prefix_cache_n()), (None, None, None));
}

#[test]
fn global_options_work_behind_an_older_subcommand_too() {
    let args = parse("gguf -m m -f f.gguf --rsd d.yaml --seed 7 -l log --token-source none");
    assert_eq!(args.named_file().unwrap(), Some(Path::new("d.yaml")));
    assert_eq!(args.seed(), Some(7));
    let target = args.target().unwrap().unwrap();
    assert_eq!(target.role().token_source.as_deref(), Some("none"));
}

#[test]
fn the_deployment_file_is_required() {
    let args = parse("-m m");
    if std::env::var_os("RSD_CONFIG").is_none() {
        assert_eq!(args.named_file(), Err(FlagError::NoDeployment));
    }
}

#[test]
fn rsd_without_a_file_is_the_demo_wherever_it_stands() {
    for line in ["--rsd", "--rsd -p 80", "-m m --rsd", "gguf -m m -f f.gguf --rsd", "-m m --rsd --dry-run"] {
        assert_eq!(parse(line).named_file(), Ok(None), "{line}");
        assert!(target(line).is_ok(), "{line}");
    }
    let error = parse("--rsd gguf").named_file().unwrap_err();
    assert_eq!(error, FlagError::DeploymentIsSubcommand { name: "gguf".to_owned() });
}

#[test]
fn a_gguf_named_without_its_format_is_a_gguf() {
    assert_eq!(role("-m m -f A.GGUF").format, Some(ModelFormat::Gguf));
    assert_eq!(role("-m m -f a-1.gguf;a-2.gguf").format, Some(ModelFormat::Gguf));
    assert_eq!(role("-m m").format, None);
    assert!(message("-m m -f a.bin").contains("--format gguf or --format ggml"));
    assert!(message("-m m -f a.gguf;b.bin").contains("a.gguf;b.bin"));
}

#[test]
fn a_quantized_format_needs_its_file() {
    for format in ["gguf", "ggml"] {
        for place in ["", "auto ", "text "] {
            let text = message(&format!("{place}-m m --format {format}"));
            assert!(text.starts_with("--format needs --quantized-file"), "{text}");
        }
    }
}

#[test]
fn options_that_mistralrs_ignores_are_rejected_by_name() {
    let gguf = "-m m --format gguf -f a.gguf";
    let ggml = "-m m --format ggml -f a.bin";
    for (line, flag) in [
        (format!("{gguf} --isq 4"), "--isq"),
        (format!("{gguf} --from-uqff 4"), "--from-uqff"),
        (format!("{gguf} --isq-organization moqe"), "--isq-organization"),
        (format!("{gguf} --imatrix i"), "--imatrix"),
        (format!("{gguf} --calibration-file c"), "--calibration-file"),
        (format!("{gguf} --arch qwen2"), "--arch"),
        (format!("{gguf} --tokenizer t"), "--tokenizer"),
        (format!("{gguf} --gqa 1"), "--gqa"),
        (format!("{gguf} --lora l"), "--lora"),
        (format!("{gguf} --xlora l"), "--xlora"),
        (format!("{ggml} --isq 4"), "--isq"),
        (format!("{ggml} --arch llama"), "--arch"),
        (format!("{ggml} --lora l"), "--lora"),
        ("-m m --format plain -f a.gguf".to_owned(), "--quantized-file"),
        ("-m m --tok-model-id t".to_owned(), "--tok-model-id"),
        ("-m m --gqa 2".to_owned(), "--gqa"),
        ("-m m --xlora x".to_owned(), "--xlora"),
        ("-m m --lora l --imatrix i".to_owned(), "--imatrix"),
        ("-m m --xlora x --xlora-order o --isq-organization moqe".to_owned(), "--isq-organization"),
        ("-m m --paged-attn off --pa-memory-mb 10".to_owned(), "--pa-memory-mb"),
        ("-m m -c template.txt".to_owned(), "--chat-template"),
        ("-m m -j template.json".to_owned(), "--jinja-explicit"),
        ("-c template.txt gguf -m m -f a.gguf".to_owned(), "--chat-template"),
        ("--isq 4 gguf -m m -f a.gguf".to_owned(), "--isq"),
        ("--paged-attn off --pa-block-size 8 plain -m m".to_owned(), "--pa-block-size"),
    ] {
        let error = target(&line).unwrap_err();
        assert!(matches!(&error, FlagError::Clash { flag: found, .. } if found == flag), "{line}: {error}");
    }
    assert_eq!(role(&format!("{ggml} --tokenizer t")).tokenizer.as_deref(), Some(Path::new("t")));
}

#[test]
fn an_option_without_its_model_names_the_setting_to_use_instead() {
    for (line, key) in [
        ("--isq 4", "--set roles.target.isq=VALUE"),
        ("--cpu", "--set roles.target.cpu=VALUE"),
        ("--paged-attn auto", "--set roles.target.paged_attn.mode=VALUE"),
        ("-f a.gguf", "--set roles.target.quantized_file=VALUE"),
        ("-c t.jinja", "--set roles.target.chat_template=VALUE"),
        ("--token-source none", "--set roles.target.token_source=VALUE"),
    ] {
        let text = message(line);
        assert!(text.contains("names no model") && text.contains(key), "{text}");
    }
}

#[test]
fn options_before_a_subcommand_are_never_dropped() {
    for (line, flag, subcommand) in [
        ("--isq 4 auto -m m", "--isq", "auto"),
        ("-m a text -m b", "--model-id", "text"),
        ("--dtype auto text -m b", "--dtype", "text"),
        ("-m a plain -m b", "--model-id", "plain"),
        ("--topology t gguf -m b -f c.gguf", "--topology", "gguf"),
    ] {
        assert_eq!(target(line).unwrap_err(), FlagError::Misplaced { flag, subcommand }, "{line}");
    }
}

#[test]
fn a_subcommand_needs_a_model() {
    for subcommand in ["auto", "text"] {
        let error = target(&format!("{subcommand} --cpu")).unwrap_err();
        assert_eq!(error, FlagError::MissingModel { subcommand });
    }
}

#[test]
fn a_wrong_token_source_is_not_repeated() {
    for line in ["-m m --token-source hf_secret", "--token-source hf_secret"] {
        let text = message(line);
        assert!(text.starts_with("--token-source") && !text.contains("hf_secret"), "{text}");
    }
}

#[test]
fn the_same_value_twice_is_rejected() {
    let error = target("--port 1 --set server.port=2").unwrap_err();
    assert_eq!(error, FlagError::Twice { flag: "--port", path: "server.port" });
    assert!(target("--port 1 --set server.host=::1").unwrap().is_none());
}

#[test]
fn bad_values_are_rejected_by_the_parser() {
    for line in [
        "-m m --dtype f64",
        "-m m --arch nonesuch",
        "-m m --format zip",
        "-m m --isq-organization other",
        "-m m --pa-cache-type f4",
        "-m m --pa-memory-fraction NaN",
        "-m m --pa-memory-fraction 1.5",
        "-m m --paged-attn maybe",
        "--port 70000",
        "--max-seqs 0",
        "--max-seqs many",
        "--set policy.delta",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let kind = try_parse(&words).err().map(|error| error.kind());
        assert!(matches!(kind, Some(ErrorKind::ValueValidation | ErrorKind::InvalidValue)), "{line}: {kind:?}");
    }
    assert_eq!(try_parse(&["nonesuch"]).err().unwrap().kind(), ErrorKind::InvalidSubcommand);
}

#[test]
fn server_options_stand_before_an_older_subcommand() {
    let line = "--isq q4k --cpu -n 0:3 --paged-attn off -c t.jinja plain -m m -d f16";
    let role = role(line);
    assert_eq!(role.isq.as_deref(), Some("q4k"));
    assert!(role.cpu);
    assert_eq!(role.device_layers, Some(vec!["0:3".to_owned()]));
    assert_eq!(role.paged_attn.mode, PagedAttnMode::Off);
    assert_eq!(role.chat_template.as_deref(), Some(Path::new("t.jinja")));
    assert_eq!(role.dtype.as_deref(), Some("f16"));
    assert!(matches!(target(line).unwrap(), Some(TargetFromLine::Selected { .. })));
}
