use super::*;
use crate::{ModelFormat, ModelRoles, PagedAttnMode, PrmFormat, RemoteEngine, RoleConfig, StepUnit};

fn role(model: &str) -> RoleConfig {
    RoleConfig { model_id: Some(model.to_owned()), ..RoleConfig::default() }
}

fn good() -> Deployment {
    Deployment {
        version: 1,
        roles: ModelRoles { draft: role("small"), target: Some(role("big")) },
        reward: crate::RewardConfig::default(),
        policy: rsd_protocol::policy::PolicyConfig::default(),
        presets: Vec::new(),
        steps: crate::StepsConfig::default(),
        limits: crate::LimitsConfig::default(),
        server: crate::ServerConfig::default(),
        admin: crate::AdminConfig::default(),
    }
}

fn problems(change: impl FnOnce(&mut Deployment)) -> String {
    let mut deployment = good();
    change(&mut deployment);
    deployment.validate(TargetRule::Required).unwrap_err().to_string()
}

#[test]
fn the_defaults_are_valid() {
    good().validate(TargetRule::Required).unwrap();
}

#[test]
fn a_target_may_only_be_absent_when_the_caller_names_it() {
    let mut deployment = good();
    deployment.roles.target = None;
    deployment.validate(TargetRule::FromCommandLine).unwrap();
    insta::assert_snapshot!(deployment.validate(TargetRule::Required).unwrap_err(), @"roles.target: is missing: expected a model, here or on the command line (`serve -m MODEL`)");
}

#[test]
fn numbers_out_of_range_are_found_in_code_too() {
    let text = problems(|deployment| {
        deployment.version = 2;
        deployment.policy.delta = f64::NAN;
        deployment.policy.logistic_steepness = f64::INFINITY;
        deployment.steps.tokens = 0;
        deployment.limits.running = 0;
        deployment.server.body_limit = 10;
        deployment.roles.draft.paged_attn.memory_fraction = Some(1.5);
    });
    insta::assert_snapshot!(text, @"
    7 problems in the configuration:
      limits.running: expected a whole number from 1 to 4096, found the number 0
      policy.delta: expected a number from -1 to 2, found a value that is not a number
      policy.logistic_steepness: expected a number above 0, at most 1000, found an infinite number
      roles.draft.paged_attn.memory_fraction: expected a number above 0, at most 1, found the number 1.5
      server.body_limit: expected a whole number from 1024 to 1073741824, found the number 10
      steps.tokens: expected a whole number from 1 to 100000, found the number 0
      version: expected 1, found the number 2
    ");
}

#[test]
fn roles_that_contradict_themselves_are_invalid() {
    let text = problems(|deployment| {
        deployment.roles.draft = RoleConfig { bundled: Some("draft".to_owned()), ..role("x") };
        deployment.roles.draft.isq = Some("4".to_owned());
        let target = deployment.roles.target.as_mut().unwrap();
        target.format = Some(ModelFormat::Gguf);
        target.isq = Some("q4z".to_owned());
        target.xlora_order = Some("o.json".into());
        target.token_source = Some("hf_secret".into());
        target.device_layers = Some(vec!["0:16".to_owned(), "1".to_owned()]);
        target.paged_attn.context_len = Some(1);
        target.paged_attn.memory_mb = Some(1);
        target.paged_attn.memory_fraction = Some(0.5);
        target.cpu = true;
        target.paged_attn.mode = PagedAttnMode::On;
        deployment.reward.scorer = crate::RewardScorer::Judge { model: Some(Box::default()) };
    });
    insta::assert_snapshot!(text, @r#"
    12 problems in the configuration:
      reward.model: names no model: expected `bundled`, `model_id` or `remote`
      roles.draft.isq: describes the files of a model, as `bundled` does: leave one of them out
      roles.draft.model_id: describes the files of a model, as `bundled` does: leave one of them out
      roles.target.device_layers: expected DEVICE:LAYERS in every item, such as 0:16, found "1"
      roles.target.format: needs `quantized_file`, the file's name in the model
      roles.target.isq: expected one of 2, 3, 4, 5, 6, 8, q4_0, q4_1, q5_0, q5_1, q8_0, q8_1, q2k, q3k, q4k, q5k, q6k, q8k, hqq8, hqq4, fp8, afq8, afq6, afq4, afq3, afq2, f8q8, mxfp4, found "q4z"
      roles.target.isq: has no effect on a GGUF or GGML file, which says its own architecture and quantization: leave it out
      roles.target.paged_attn.memory_fraction: excludes `context_len`, which is given too: leave one of them out
      roles.target.paged_attn.memory_mb: excludes `context_len`, which is given too: leave one of them out
      roles.target.paged_attn.mode: expected auto or off where `cpu` is true: PagedAttention needs a GPU
      roles.target.token_source: expected cache, none, env:VARIABLE, path:FILE or literal:TOKEN, found "***"
      roles.target.xlora_order: belongs to `xlora`: name the adapter or leave it out
    "#);
}

#[test]
fn files_and_adapters_need_their_companions() {
    let text = problems(|deployment| {
        let draft = &mut deployment.roles.draft;
        draft.quantized_file = Some("q.gguf".to_owned());
        draft.gqa = Some(8);
        draft.imatrix = Some("i".into());
        draft.lora = Some("a".to_owned());
        draft.xlora = Some("b".to_owned());
        let target = deployment.roles.target.as_mut().unwrap();
        target.isq = Some("Q4K".to_owned());
        target.from_uqff = Some("u".to_owned());
        target.imatrix = Some("i".into());
        target.calibration_file = Some("c".into());
    });
    insta::assert_snapshot!(text, @"
    7 problems in the configuration:
      roles.draft.gqa: belongs to `format: ggml`: set the format or leave it out
      roles.draft.imatrix: has no effect on a model with adapters (`lora`): leave it out
      roles.draft.imatrix: needs `isq`, the type to quantize to
      roles.draft.quantized_file: belongs to `format: gguf` or `format: ggml`: set the format or leave it out
      roles.draft.xlora: excludes `lora`, which is given too: leave one of them out
      roles.target.calibration_file: excludes `imatrix`, which is given too: leave one of them out
      roles.target.from_uqff: excludes `isq`, which is given too: leave one of them out
    ");
}

#[test]
fn steps_and_server_are_checked() {
    let text = problems(|deployment| {
        deployment.steps.delimiters.clear();
        deployment.server.api_key_env = Some("sk-secret".into());
        deployment.server.api_key_file = Some("key".into());
        deployment.server.cors_origins = vec!["*".to_owned(), "http://a:1".to_owned(), "chat.example.org".to_owned()];
        deployment.server.model_name = "target".to_owned();
    });
    insta::assert_snapshot!(text, @r#"
    5 problems in the configuration:
      server.api_key_env: expected the name of an environment variable (letters, digits and _), not the key itself
      server.api_key_file: excludes `api_key_env`, which is given too: leave one of them out
      server.cors_origins[2]: expected * or an origin such as https://chat.example.org, without a path, found "chat.example.org"
      server.model_name: expected a name other than draft and target, which answer alone, found "target"
      steps.delimiters: expected at least one string for `unit: delimiter`, found an empty list
    "#);
    assert!(
        problems(|deployment| {
            deployment.steps.unit = StepUnit::Tokens;
            deployment.steps.tokens = 600;
        })
        .contains("steps.tokens")
    );
}

#[test]
fn a_rule_is_silent_about_values_that_are_faulty_already() {
    let text = problems(|deployment| {
        deployment.steps.unit = StepUnit::Tokens;
        deployment.steps.tokens = 1000;
        deployment.steps.max_tokens = 0;
    });
    assert_eq!(text, "steps.max_tokens: expected a whole number from 1 to 100000, found the number 0");
}

#[test]
fn a_reward_is_checked_with_all_its_parts() {
    let http = |url: &str| {
        let scorer = serde_json::json!({"kind": "http", "url": url});
        serde_json::from_value::<crate::RewardScorer>(scorer).unwrap()
    };
    let text = problems(|deployment| {
        deployment.reward.reject_false = true;
        let weighted = crate::RewardScorer::Weighted { parts: Vec::new() };
        let head = || crate::RewardScorer::Resident { head: "h".into(), states: None };
        let rewards = [http("ftp://x"), weighted, head(), head()];
        let parts = rewards.into_iter().map(|reward| crate::WeightedScorer { weight: 1.0, reward });
        deployment.reward.scorer = crate::RewardScorer::Weighted { parts: parts.collect() };
    });
    for expected in [
        "reward.reject_false: has no effect without `checks`",
        "reward.parts: parts[0].reward.url: expected the URL of a scorer",
        "reward.parts: parts[1].reward.kind: expected any kind but `weighted`",
        "reward.parts: expected at most one part of `kind: resident`, found 2",
    ] {
        assert!(text.contains(expected), "{text}");
    }
    let good = r#"{"kind": "resident", "head": "h", "checks": ["arithmetic", "python"], "reject_false": true}"#;
    let reward: crate::RewardConfig = serde_json::from_str(good).unwrap();
    assert_eq!(reward.checks.len(), 2);
}

fn remote(urls: &[&str]) -> RoleConfig {
    let remote = crate::RemoteConfig {
        engine: crate::RemoteEngine::Vllm,
        urls: urls.iter().map(|url| (*url).to_owned()).collect(),
        model: None,
        api_key_env: None,
        api_key_file: None,
        headers: Vec::new(),
        price: None,
        ca_file: None,
        max_concurrency: 16,
        retries: 2,
        timeouts: crate::RemoteTimeouts::default(),
    };
    RoleConfig { remote: Some(remote), ..RoleConfig::default() }
}

#[test]
fn a_role_on_a_remote_engine_needs_only_its_url() {
    let mut deployment = good();
    deployment.roles.target = Some(RoleConfig {
        tokenizer: Some("tokenizer.json".into()),
        context_length: Some(4096),
        parameters: Some(7_000_000_000),
        ..remote(&["https://big.example:8000/prefix/", "http://10.0.0.5:8000"])
    });
    deployment.validate(TargetRule::Required).unwrap();
}

#[test]
fn settings_that_mean_nothing_to_a_remote_engine_are_named() {
    let text = problems(|deployment| {
        deployment.roles.draft = RoleConfig {
            model_id: Some("small".to_owned()),
            cpu: true,
            ..remote(&["http://user:pass@10.0.0.5:8000", "http://10.0.0.5:8000/v1"])
        };
        deployment.roles.target = Some(remote(&[]));
        deployment.reward.scorer = crate::RewardScorer::Judge { model: Some(Box::new(remote(&["http://a"]))) };
    });
    insta::assert_snapshot!(text, @r#"
    6 problems in the configuration:
      reward.model.tokenizer: is missing: name the tokenizer.json that is published beside the model on the remote engine
      roles.draft.cpu: is a setting of a model in this process: leave it out, or leave `remote` out
      roles.draft.model_id: is a setting of a model in this process: leave it out, or leave `remote` out
      roles.draft.remote.urls: expected URLs without a password, a query or `/v1` at their end, such as http://10.0.0.5:8000; found "10.0.0.5:8000"
      roles.draft.remote.urls: expected URLs without a password, a query or `/v1` at their end, such as http://10.0.0.5:8000; found "http://10.0.0.5:8000/v1"
      roles.target.remote.urls: expected at least one URL, found an empty list
    "#);
}

/// The problems of a reward model with this format on this kind of engine.
fn remote_prm_problems(format: PrmFormat, engine: RemoteEngine) -> String {
    let mut deployment = good();
    let mut model = RoleConfig { tokenizer: Some("tokenizer.json".into()), ..remote(&["http://a"]) };
    model.remote.as_mut().unwrap().engine = engine;
    deployment.reward.scorer = crate::RewardScorer::Prm { model: Box::new(model), head: None, format, separator: None };
    deployment.validate(TargetRule::Required).err().map_or_else(|| "fine".to_owned(), |error| error.to_string())
}

#[test]
fn a_reward_model_goes_on_the_engines_that_can_read_it() {
    use PrmFormat::{Auto, MathShepherd, QwenPrm, ReasonEval, Rlhflow, Skywork};
    use RemoteEngine::{LlamaServer, Openai, Sglang, Vllm};
    let fine = [
        (QwenPrm, Vllm),
        (QwenPrm, RemoteEngine::Auto),
        (Skywork, Vllm),
        (Skywork, Sglang),
        (Rlhflow, LlamaServer),
        (MathShepherd, Sglang),
    ];
    for (format, engine) in fine {
        assert_eq!(remote_prm_problems(format, engine), "fine", "{format:?} on {engine:?}");
    }
    let wrong = [
        (QwenPrm, Sglang),
        (QwenPrm, LlamaServer),
        (Skywork, Openai),
        (Rlhflow, Openai),
        (ReasonEval, Vllm),
        (Auto, Vllm),
    ];
    insta::assert_snapshot!(
        wrong.map(|(format, engine)| remote_prm_problems(format, engine)).join("\n"),
        @"
        reward.model.remote.engine: expected vllm for `format: qwen-prm`, found sglang: no other engine runs this head
        reward.model.remote.engine: expected vllm for `format: qwen-prm`, found llama_server: no other engine runs this head
        reward.model.remote.engine: expected vllm or sglang for `format: skywork`, found openai: no other engine runs a head with one output
        reward.model.remote.engine: expected vllm or sglang or llama_server for `format: rlhflow`, found openai: it takes text, in which a control token that somebody types would be one
        reward.format: no engine runs this head: run it in this process, without `remote`, or choose another model
        reward.format: expected qwen-prm, skywork, rlhflow or math-shepherd, found auto: the files of a model on a remote engine cannot show its kind
        "
    );
}

#[test]
fn a_reward_model_on_a_remote_engine_has_a_tokenizer_and_no_price() {
    let text = problems(|deployment| {
        let mut judge = remote(&["http://a"]);
        judge.remote.as_mut().unwrap().price = Some(serde_json::from_str(r#"{"input": 1, "output": 2}"#).unwrap());
        deployment.reward.scorer = crate::RewardScorer::Judge { model: Some(Box::new(judge)) };
    });
    insta::assert_snapshot!(text, @"
    2 problems in the configuration:
      reward.model.remote.price: is for `roles.draft` and `roles.target`: money for a reward model is not counted; leave it out
      reward.model.tokenizer: is missing: name the tokenizer.json that is published beside the model on the remote engine
    ");
    let mut deployment = good();
    let judge = RoleConfig { tokenizer: Some("tokenizer.json".into()), ..remote(&["http://a"]) };
    deployment.reward.scorer = crate::RewardScorer::Judge { model: Some(Box::new(judge)) };
    deployment.validate(TargetRule::Required).unwrap();
}

#[test]
fn a_head_reads_the_states_of_a_remote_draft_on_an_engine_that_returns_them() {
    let states = |engine| {
        let mut states = remote(&["http://b"]).remote.unwrap();
        states.engine = engine;
        Some(Box::new(crate::StatesConfig { remote: states }))
    };
    let resident = |states| crate::RewardScorer::Resident { head: "h".into(), states };
    let draft = || RoleConfig { tokenizer: Some("tokenizer.json".into()), ..remote(&["http://a"]) };
    let mut deployment = good();
    deployment.roles.draft = draft();
    deployment.reward.scorer = resident(states(RemoteEngine::LlamaServer));
    deployment.validate(TargetRule::Required).unwrap();
    let text = [
        problems(|deployment| deployment.reward.scorer = resident(states(RemoteEngine::Auto))),
        problems(|deployment| {
            deployment.roles.draft = draft();
            deployment.reward.scorer = resident(None);
        }),
        problems(|deployment| {
            deployment.roles.draft = draft();
            let mut states = states(RemoteEngine::Vllm);
            states.as_mut().unwrap().remote.urls = Vec::new();
            states.as_mut().unwrap().remote.price = Some(serde_json::from_str(r#"{"input": 1, "output": 2}"#).unwrap());
            deployment.reward.scorer = resident(states);
        }),
    ];
    insta::assert_snapshot!(text.join("\n"), @"
    reward.states: is for a draft on a remote engine: leave it out, the draft in this process shows its states
    reward.states: is missing: the draft is on a remote engine, so a head needs an engine that returns its hidden states; name it here, or take another `kind`
    3 problems in the configuration:
      reward.states.remote.engine: expected llama_server, found vllm: no other engine returns them in a reply
      reward.states.remote.price: is for `roles.draft` and `roles.target`: money for a reward model is not counted; leave it out
      reward.states.remote.urls: expected at least one URL, found an empty list
    ");
}

#[test]
fn prices_are_in_one_currency_that_has_a_code() {
    let role = |price: &str| {
        let mut role = remote(&["http://a"]);
        role.remote.as_mut().unwrap().price = Some(serde_json::from_str(price).unwrap());
        role
    };
    let mut deployment = good();
    deployment.roles.target = Some(role(r#"{"input": 3, "output": 15}"#));
    deployment.validate(TargetRule::Required).unwrap();
    let price = deployment.roles.target.unwrap().remote.unwrap().price.unwrap().token_price().unwrap();
    assert_eq!((price.cached_input.to_bits(), price.currency.to_string().as_str()), (3f64.to_bits(), "USD"));
    let text = problems(|deployment| {
        deployment.roles.draft = role(r#"{"input": -1, "output": 0, "currency": "dollars"}"#);
        deployment.roles.target = Some(role(r#"{"input": 1, "output": 2, "currency": "EUR"}"#));
    });
    insta::assert_snapshot!(text, @r#"
    2 problems in the configuration:
      roles.draft.remote.price.currency: expected three capital letters, such as USD, found "dollars"
      roles.draft.remote.price.input: expected a number, at least 0, found the number -1.0
    "#);
    let text = problems(|deployment| {
        deployment.roles.draft = role(r#"{"input": 1, "output": 0}"#);
        deployment.roles.target = Some(role(r#"{"input": 1, "output": 2, "currency": "EUR"}"#));
    });
    insta::assert_snapshot!(text, @"roles.target.remote.price.currency: expected that of `roles.draft.remote.price`, which is USD, found EUR: one sum holds one currency");
}

#[test]
fn headers_that_the_client_sets_itself_and_values_that_are_none_are_named() {
    let valid = [r#"{"name": "X-Tenant", "value": "a b"}"#, r#"{"name": "api-key", "value_env": "ENGINE_KEY"}"#];
    let role = |headers: &[&str]| {
        let mut role = remote(&["http://a"]);
        role.remote.as_mut().unwrap().headers =
            headers.iter().map(|json| serde_json::from_str(json).unwrap()).collect();
        role
    };
    let mut deployment = good();
    deployment.roles.target = Some(role(&valid));
    deployment.validate(TargetRule::Required).unwrap();

    let text = problems(|deployment| {
        deployment.roles.target = Some(role(&[
            r#"{"name": "Content-Type", "value": "sk-secret"}"#,
            r#"{"name": "authorization", "value": "sk-secret"}"#,
            r#"{"name": "X-Session-ID", "value": "sk-secret"}"#,
            r#"{"name": "x tenant", "value": "sk-secret"}"#,
            r#"{"name": "x-both", "value": "sk-secret", "value_env": "KEY"}"#,
            r#"{"name": "x-none"}"#,
            r#"{"name": "x-key", "value_env": "sk-secret"}"#,
            r#"{"name": "x-lines", "value": "sk-secret\n"}"#,
            r#"{"name": "x-twice", "value": "a"}"#,
            r#"{"name": "X-Twice", "value": "b"}"#,
        ]));
    });
    assert!(!text.contains("sk-secret"), "{text}");
    insta::assert_snapshot!(text, @r#"
    9 problems in the configuration:
      roles.target.remote.headers: headers[0]: `Content-Type` is set with every request to an engine: leave it out
      roles.target.remote.headers: headers[1]: `authorization` is set from `api_key_env` or `api_key_file`: use one of these
      roles.target.remote.headers: headers[2]: `X-Session-ID` is set with every request to an engine: leave it out
      roles.target.remote.headers: headers[3]: expected the name of a header, such as x-tenant, found "x tenant"
      roles.target.remote.headers: headers[4]: `x-both` needs one of `value`, `value_env` and `value_file`, found 2
      roles.target.remote.headers: headers[5]: `x-none` needs one of `value`, `value_env` and `value_file`, found 0
      roles.target.remote.headers: headers[6]: expected the name of an environment variable (letters, digits and _) as `value_env` of `x-key`, not the value itself
      roles.target.remote.headers: headers[7]: the value of `x-lines` has line breaks or other control characters: remove them
      roles.target.remote.headers: headers[9]: `X-Twice` is there twice: remove one of them
    "#);
}
