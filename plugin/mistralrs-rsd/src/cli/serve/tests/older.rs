//! The subcommands of the older server as roles.

use mistralrs_core::ModelSelected;
use serde_json::{Value, json};

use super::super::TargetFromLine;
use super::super::table::{OLDER_MODELS, OLDER_OPTIONS};
use super::{command, role, target, unsupported_name};

/// The fields of a role that differ from the defaults.
fn given_fields(line: &str) -> Value {
    let role = serde_json::to_value(role(line)).unwrap();
    let default = serde_json::to_value(rsd_config::RoleConfig::default()).unwrap();
    let Value::Object(fields) = role else { panic!("a role is an object") };
    fields.into_iter().filter(|(key, value)| default[key] != *value).collect()
}

fn expect(line: &str, mut expected: Value) {
    let common = json!({"dtype": "auto", "max_seq_len": 4096, "max_batch_size": 1});
    for (key, value) in common.as_object().unwrap() {
        expected.as_object_mut().unwrap().entry(key).or_insert(value.clone());
    }
    assert_eq!(given_fields(line), expected, "{line}");
}

#[test]
fn every_older_subcommand_becomes_a_role() {
    expect(
        "run -m m -t t -d f16 --topology y -o moqe -f u -i i",
        json!({"format": "plain", "model_id": "m", "tokenizer": "t", "dtype": "f16", "topology": "y",
               "isq_organization": "moqe", "from_uqff": "u", "imatrix": "i"}),
    );
    expect(
        "plain -m m -a llama -c c --max-seq-len 7 --max-batch-size 2",
        json!({"format": "plain", "model_id": "m", "arch": "llama", "calibration_file": "c",
               "max_seq_len": 7, "max_batch_size": 2}),
    );
    expect("lora -m m -a l", json!({"format": "plain", "model_id": "m", "lora": "l"}));
    expect(
        "x-lora -m m -x x -o o --tgt-non-granular-index 1 -a phi3.5moe",
        json!({"format": "plain", "model_id": "m", "xlora": "x", "xlora_order": "o", "tgt_non_granular_index": 1,
               "arch": "phi3.5moe"}),
    );
    let gguf = json!({"format": "gguf", "model_id": "m", "quantized_file": "f.gguf", "tok_model_id": "t"});
    expect("gguf -t t -m m -f f.gguf", gguf.clone());
    let plus = |base: &Value, more: Value| {
        let mut base = base.clone();
        base.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        base
    };
    expect("lora-gguf -t t -m m -f f.gguf -a l -o o", plus(&gguf, json!({"lora": "l", "xlora_order": "o"})));
    expect("x-lora-gguf -t t -m m -f f.gguf -x x -o o", plus(&gguf, json!({"xlora": "x", "xlora_order": "o"})));
    let ggml = json!({"format": "ggml", "model_id": "m", "quantized_file": "f", "tok_model_id": "t", "gqa": 8});
    expect("ggml -t t -m m -f f -g 8", ggml.clone());
    expect("lora-ggml -t t -m m -f f -g 8 -a l -o o", plus(&ggml, json!({"lora": "l", "xlora_order": "o"})));
    expect("x-lora-ggml -t t -m m -f f -g 8 -x x -o o", plus(&ggml, json!({"xlora": "x", "xlora_order": "o"})));
}

#[test]
fn the_model_as_mistralrs_parses_it_is_handed_on() {
    let Some(TargetFromLine::Selected { model, role }) = target("gguf -m m -f a.gguf").unwrap() else {
        panic!("an older subcommand")
    };
    assert_eq!(role.model_id.as_deref(), Some("m"));
    assert!(matches!(*model, ModelSelected::GGUF { ref quantized_filename, .. } if quantized_filename == "a.gguf"));
}

/// Every option of every supported subcommand either sets a field of the role or is rejected by name.
#[test]
fn no_option_of_theirs_is_lost() {
    let serve = command();
    let global = ["rsd", "dry-run", "api-key-env", "api-key-file", "seed", "log", "token-source", "help", "version"];
    for model in OLDER_MODELS.iter().filter(|model| model.unsupported.is_none()) {
        let subcommand = serve.find_subcommand(model.name).unwrap();
        let required: Vec<&str> = subcommand
            .get_arguments()
            .filter(|arg| arg.is_required_set() || arg.get_long() == Some("model-id"))
            .filter_map(|arg| arg.get_long())
            .collect();
        let base = required.iter().fold(model.name.to_owned(), |line, long| format!("{line} --{long} 1"));
        for long in subcommand.get_arguments().filter_map(|arg| arg.get_long()) {
            if global.contains(&long) || required.contains(&long) {
                continue;
            }
            let value = match long {
                "arch" => "qwen2",
                "dtype" => "f32",
                "organization" => "moqe",
                _ => "7",
            };
            let line = format!("{base} --{long} {value}");
            if OLDER_OPTIONS.iter().any(|unsupported| unsupported.name == format!("--{long}")) {
                assert_eq!(unsupported_name(&line), format!("--{long}"), "{line}");
            } else {
                assert_ne!(given_fields(&line), given_fields(&base), "{line} changes nothing");
            }
        }
    }
}

#[test]
fn adapters_need_their_base_model_named() {
    for line in ["lora -a l", "x-lora -x x -o o"] {
        let text = target(line).unwrap_err().to_string();
        assert!(text.contains("needs --model-id (-m)"), "{text}");
    }
}
