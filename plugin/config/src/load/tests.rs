use std::fs;

use proptest::prelude::*;

use super::*;

const DRAFT_AND_TARGET: &str = "version: 1\nroles: {draft: {bundled: draft}, target: {bundled: target}}\n";

struct File {
    folder: tempfile::TempDir,
    file: PathBuf,
}

impl File {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deploy.yaml");
        fs::write(&file, text).unwrap();
        Self { folder, file }
    }

    fn load(&self, env: &[(&str, &str)], flags: &[SettingOverride]) -> Result<LoadedConfig, ConfigError> {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load(Some(&self.file), env, flags, TargetRule::Required)
    }

    fn error(&self, env: &[(&str, &str)], flags: &[SettingOverride]) -> String {
        let text = self.load(env, flags).unwrap_err().to_string();
        text.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

fn set(given: &str) -> SettingOverride {
    SettingOverride::parse(given).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_strongest_layer_that_sets_a_value_wins(
        delta in prop::array::uniform3(prop::option::of(-1.0f64..2.0)),
        port in prop::array::uniform3(prop::option::of(any::<u16>())),
        name in prop::array::uniform3(prop::option::of("[a-z0-9.]{1,8}")),
    ) {
        let text = [
            DRAFT_AND_TARGET.to_owned(),
            delta[0].map_or_else(String::new, |value| format!("policy: {{delta: {value:?}}}\n")),
            "server:\n  drain_seconds: 7\n".to_owned(),
            port[0].map_or_else(String::new, |value| format!("  port: {value}\n")),
            name[0].as_ref().map_or_else(String::new, |value| format!("  model_name: '{value}'\n")),
        ].concat();
        let mut env = Vec::new();
        let mut flags = Vec::new();
        if let Some(value) = delta[1] { env.push(("RSD__POLICY__DELTA".to_owned(), value.to_string())); }
        if let Some(value) = port[1] { env.push(("RSD__SERVER__PORT".to_owned(), value.to_string())); }
        if let Some(value) = &name[1] { env.push(("RSD__SERVER__MODEL_NAME".to_owned(), value.clone())); }
        if let Some(value) = delta[2] { flags.push(set(&format!("policy.delta={value}"))); }
        if let Some(value) = port[2] { flags.push(SettingOverride::value("server.port", value, "--port")); }
        if let Some(value) = &name[2] { flags.push(set(&format!("server.model_name={value}"))); }

        let file = File::new(&text);
        let loaded = load(Some(&file.file), env, &flags, TargetRule::Required).unwrap();
        let got = &loaded.deployment;
        prop_assert_eq!(got.policy.delta.to_bits(), delta[2].or(delta[1]).or(delta[0]).unwrap_or(0.7).to_bits());
        prop_assert_eq!(got.server.port, port[2].or(port[1]).or(port[0]).unwrap_or(1234));
        let [in_file, in_env, in_flag] = name.clone();
        prop_assert_eq!(&got.server.model_name, &in_flag.or(in_env).or(in_file).unwrap_or("rsd".to_owned()));
        prop_assert_eq!(got.server.drain_seconds, 7);

        let origin = |set: [bool; 3], variable: &str, flag: &str| match set {
            [_, _, true] => SettingOrigin::Flag(flag.to_owned()),
            [_, true, _] => SettingOrigin::Env(variable.to_owned()),
            [true, _, _] => SettingOrigin::File,
            _ => SettingOrigin::Default,
        };
        prop_assert_eq!(&loaded.origins["policy.delta"], &origin(delta.map(|value| value.is_some()), "RSD__POLICY__DELTA", "--set"));
        prop_assert_eq!(&loaded.origins["server.port"], &origin(port.map(|value| value.is_some()), "RSD__SERVER__PORT", "--port"));
        prop_assert_eq!(&loaded.origins["server.model_name"], &origin(name.map(|value| value.is_some()), "RSD__SERVER__MODEL_NAME", "--set"));
        prop_assert_eq!(&loaded.origins["server.drain_seconds"], &SettingOrigin::File);
        prop_assert_eq!(&loaded.origins["server.host"], &SettingOrigin::Default);
    }

    #[test]
    fn no_text_in_a_variable_makes_it_panic(value in "\\PC*", which in 0..6usize) {
        let name = ["POLICY__DELTA", "SERVER__PORT", "STEPS__DELIMITERS", "ROLES__TARGET", "REWARD__KIND", "NO__SUCH"][which];
        let env = [(format!("RSD__{name}"), value)];
        let file = File::new(DRAFT_AND_TARGET);
        if let Err(error) = load(Some(&file.file), env, &[], TargetRule::Required) {
            prop_assert!(error.to_string().contains(&format!("RSD__{name}")), "{error}");
        }
    }
}

#[test]
fn all_problems_of_all_layers_come_at_once() {
    let file = File::new(
        "roles:\n  draft:\n    modle_id: x\n    isq: 4\n  target:\n    model_id: big\n    format: gguf\n\
         policy:\n  dleta: 0.5\n  p: '0.5'\n  alpha: 0\nstep:\n  unit: token\nserver:\n  port: 1.5\n  temperature: 1\n",
    );
    let env =
        [("RSD__POLICY__DELTA", "high"), ("RSD__SERVER__PROT", "80"), ("RSD__LIMITS__RUNNING", "0"), ("RSD_LOG", "x")];
    let flags = [set("steps.delimiters=,"), SettingOverride::value("server.host", 1, "--host")];
    insta::assert_snapshot!(file.error(&env, &flags), @r#"
    16 problems in the configuration:
      deploy.yaml: version: is missing: expected 1
      deploy.yaml:3:5: roles.draft.modle_id: unknown setting; did you mean roles.draft.model_id?
      deploy.yaml:4:10: roles.draft.isq: expected text, found the number 4; write it in quotes: "4"
      deploy.yaml:7:5: roles.target.format: needs `quantized_file`, the file's name in the model
      deploy.yaml:9:3: policy.dleta: unknown setting; did you mean policy.delta?
      deploy.yaml:10:6: policy.constant_probability: expected a number from 0 to 1, found the text "0.5"; write it without quotes: 0.5
      deploy.yaml:11:10: policy.logistic_steepness: expected a number above 0, at most 1000, found the number 0
      deploy.yaml:12:1: step: unknown setting; did you mean steps?
      deploy.yaml:15:9: server.port: expected a whole number from 0 to 65535, found the number 1.5
      deploy.yaml:16:3: server.temperature: unknown setting: `server` has allowed_hosts, api_key_env, api_key_file, body_limit, cors_origins, drain_seconds, host, limits, metrics, model_name, port, warmup
      RSD__LIMITS__RUNNING: limits.running: expected a whole number from 1 to 4096, found the number 0
      RSD__POLICY__DELTA: policy.delta: expected a number from -1 to 2, found the text "high"
      RSD__SERVER__PROT: server.prot: unknown setting; did you mean RSD__SERVER__PORT?
      --host: server.host: expected text that is not empty, found the number 1; write it in quotes: "1"
      --set: steps.delimiters[0]: expected text that is not empty, found empty text
      --set: steps.delimiters[1]: expected text that is not empty, found empty text
    "#);
}

#[test]
fn a_single_problem_is_a_single_line() {
    let file = File::new(&format!("{DRAFT_AND_TARGET}policy:\n  delta: \"0.5\"\n"));
    insta::assert_snapshot!(file.error(&[], &[]), @r#"deploy.yaml:4:10: policy.delta: expected a number from -1 to 2, found the text "0.5"; write it without quotes: 0.5"#);
}

#[test]
fn a_broken_rule_is_placed_where_the_value_was_given() {
    let file = File::new(&format!("{DRAFT_AND_TARGET}server:\n  model_name: draft\n"));
    insta::assert_snapshot!(file.error(&[("RSD__ROLES__TARGET__MODEL_ID", "x")], &[set("roles.draft.token_source=hf_secret")]), @r#"
    3 problems in the configuration:
      deploy.yaml:4:3: server.model_name: expected a name other than draft and target, which answer alone, found "draft"
      RSD__ROLES__TARGET__MODEL_ID: roles.target.model_id: describes the files of a model, as `bundled` does: leave one of them out
      --set: roles.draft.token_source: expected cache, none, env:VARIABLE, path:FILE or literal:TOKEN, found "***"
    "#);
}

#[test]
fn missing_parts_are_named() {
    insta::assert_snapshot!(File::new("").error(&[], &[]), @"deploy.yaml:1:1: expected a mapping of settings, found nothing");
    insta::assert_snapshot!(File::new("{}").error(&[], &[]), @"
    2 problems in the configuration:
      deploy.yaml: roles: is missing: expected a mapping of settings
      deploy.yaml: version: is missing: expected 1
    ");
    insta::assert_snapshot!(File::new("version: 2\nroles:\n  draft: {cpu: true}\n").error(&[], &[]), @"
    3 problems in the configuration:
      deploy.yaml:1:10: version: expected 1, found the number 2
      deploy.yaml:2:1: roles.target: is missing: expected a model, here or on the command line (`serve -m MODEL`)
      deploy.yaml:3:3: roles.draft: names no model: expected `bundled`, `model_id` or `remote`
    ");
}

#[test]
fn without_a_file_the_other_layers_do() {
    let env =
        [("RSD__ROLES__DRAFT", "{bundled: draft}"), ("RSD__ROLES__DRAFT__CPU", "true"), ("RSD__REWARD__KIND", "judge")];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let loaded = load(None, env.clone(), &[], TargetRule::FromCommandLine).unwrap();
    assert!(loaded.deployment.roles.draft.cpu);
    assert_eq!(loaded.deployment.roles.draft.bundled.as_deref(), Some("draft"));
    assert_eq!(loaded.deployment.roles.target, None);
    insta::assert_snapshot!(load(None, env, &[], TargetRule::Required).unwrap_err(), @"roles.target: is missing: expected a model, here or on the command line (`serve -m MODEL`)");
    insta::assert_snapshot!(load(None, [], &[], TargetRule::Required).unwrap_err(), @"roles: is missing: expected a mapping of settings");
}

#[test]
fn one_setting_from_two_variables_is_an_error() {
    let file = File::new(DRAFT_AND_TARGET);
    insta::assert_snapshot!(file.error(&[("RSD__POLICY__DELTA", "1"), ("RSD__policy__delta", "0.5")], &[]), @"RSD__policy__delta: policy.delta: is also given by RSD__POLICY__DELTA: unset one of them");
}

#[test]
fn a_higher_layer_can_unset_what_the_file_says() {
    let file = File::new("version: 1\nroles: {draft: {bundled: draft}, target: {model_id: big, isq: '4'}}\n");
    let loaded = file
        .load(&[("RSD__ROLES__TARGET__ISQ", "")], &[set("roles.draft.bundled="), set("roles.draft.model_id=small")])
        .unwrap();
    assert_eq!(loaded.deployment.roles.target.unwrap().isq, None);
    assert_eq!(loaded.deployment.roles.draft.bundled, None);
    assert_eq!(loaded.origins["roles.target.isq"], SettingOrigin::Env("RSD__ROLES__TARGET__ISQ".to_owned()));
}

#[test]
fn paths_of_the_file_follow_the_file_and_others_do_not() {
    let file =
        File::new("version: 1\nroles: {draft: {model_id: ./small, tokenizer: t.json}, target: {bundled: target}}\n");
    let loaded = file.load(&[("RSD__SERVER__API_KEY_FILE", "key")], &[]).unwrap().deployment;
    assert_eq!(loaded.roles.draft.tokenizer, Some(file.folder.path().join("t.json")));
    assert_eq!(loaded.roles.draft.model_id, Some(file.folder.path().join("small").display().to_string()));
    assert_eq!(loaded.server.api_key_file, Some("key".into()));
}

#[test]
fn secrets_are_not_in_errors() {
    let file = File::new(&format!("{DRAFT_AND_TARGET}server: {{api_key_env: sk-secret, api_key: sk-secret}}\n"));
    let text = file.error(&[("RSD__ROLES__DRAFT__TOKEN_SOURCE", "literall:sk-secret")], &[]);
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(!text.contains("sk-secret"), "{text}");
}

#[test]
fn a_named_reward_model_brings_its_threshold_unless_one_is_given() {
    let delta = |reward: &str, env: &[(&str, &str)]| {
        let text = format!("{DRAFT_AND_TARGET}reward: {{kind: prm, model: {{model_id: x}}{reward}}}\n");
        File::new(&text).load(env, &[]).unwrap().deployment.policy.delta
    };
    let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found}");
    close(delta(", format: qwen-prm", &[]), 0.9);
    close(delta(", format: skywork", &[]), 0.7);
    close(delta(", format: qwen-prm", &[("RSD__POLICY__DELTA", "0.3")]), 0.3);
    close(delta("", &[]), rsd_core::policy::PolicyConfig::default().delta);
}

#[test]
fn a_reward_model_is_checked_like_the_other_models() {
    let file = File::new(&format!(
        "{DRAFT_AND_TARGET}reward: {{kind: prm, format: qwen-prm, separator: x, head: h, model: {{model_id: m, isq: '9', lora: l}}}}\n"
    ));
    let text = file.error(&[], &[]);
    for part in [
        "reward.separator: belongs to `format: skywork`",
        "reward.head: belongs to a GGUF",
        "reward.model.isq",
        "reward.model.lora: is not supported",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let unknown = File::new(&format!("{DRAFT_AND_TARGET}reward: {{kind: prm, format: oracle}}\n")).error(&[], &[]);
    assert!(unknown.contains("one of auto, skywork, qwen-prm, rlhflow, math-shepherd, reason-eval"), "{unknown}");
    assert!(unknown.contains("reward.model: is missing"), "{unknown}");
}

#[test]
fn a_line_break_that_yaml_does_not_read_is_warned_about() {
    let file = File::new(&format!("{DRAFT_AND_TARGET}\nsteps: {{delimiters: ['\\n\\n']}}\n"));
    let loaded = load(Some(&file.file), [], &[], TargetRule::Required).unwrap();
    let warnings: Vec<_> =
        loaded.warnings.iter().map(|warning| (warning.path.as_str(), warning.message.as_str())).collect();
    insta::assert_debug_snapshot!(warnings);
    let file = File::new(&format!("{DRAFT_AND_TARGET}\nsteps: {{delimiters: [\"\\n\\n\", '\\sum']}}\n"));
    assert!(load(Some(&file.file), [], &[], TargetRule::Required).unwrap().warnings.is_empty());
    let env = [("RSD__STEPS__DELIMITERS".to_owned(), "\\n\\n".to_owned())];
    let warnings = load(Some(&file.file), env, &[], TargetRule::Required).unwrap().warnings;
    assert!(
        matches!(warnings.as_slice(), [warning] if warning.to_string().starts_with("RSD__STEPS__DELIMITERS")),
        "{warnings:?}"
    );
}
