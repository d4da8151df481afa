//! Rules between the settings of a deployment, in addition to the type and range of each one.

mod remote;
mod reward;

use super::{
    Deployment, ModelFormat, PagedAttnMode, RoleConfig, ServerConfig, StepUnit, TargetRule,
    error::{ConfigError, ConfigProblem, ProblemPlace},
    field_path::FieldPath,
    messages,
    option_conflicts::{OptionConflict, OptionSpelling, option_conflicts},
    schema_check::{SchemaFault, TreeExtent, check},
    yaml,
};

/// Values of `isq` that mistral.rs 0.8 accepts.
const ISQ_TYPES: &str = "2 3 4 5 6 8 q4_0 q4_1 q5_0 q5_1 q8_0 q8_1 q2k q3k q4k q5k q6k q8k hqq8 hqq4 fp8 afq8 afq6 afq4 afq3 afq2 f8q8 mxfp4";

/// A broken rule.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BrokenRule {
    /// The setting to change.
    pub path: FieldPath,
    /// The settings that the rule depends on. If one of them is unknown, the rule says nothing.
    pub reads: Vec<FieldPath>,
    /// The problem, and what to do.
    pub message: String,
}

impl Deployment {
    /// Checks values and ranges, and rules between settings. [`load`](super::load) does this already; it is for
    /// deployments that were built or changed in code.
    ///
    /// # Errors
    /// Every problem.
    pub fn validate(&self, target: TargetRule) -> Result<(), ConfigError> {
        let problem =
            |path: &FieldPath, message| ConfigProblem { place: ProblemPlace::Nowhere, path: path.to_string(), message };
        let (mut tree, mut faults) = yaml::settings_of(self).map_err(|error| {
            ConfigError::new(vec![problem(&FieldPath::default(), format!("cannot be serialized: {error}"))])
        })?;
        faults.extend(check(&mut tree, TreeExtent::Whole));
        let unknown: Vec<_> = faults.iter().flat_map(SchemaFault::touched).collect();
        let broken = broken_rules(self, target);
        let mut problems: Vec<_> = faults.into_iter().map(|fault| problem(&fault.path, fault.message)).collect();
        problems.extend(
            broken
                .into_iter()
                .filter(|broken| !broken.hidden_by(&unknown))
                .map(|broken| problem(&broken.path, broken.message)),
        );
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::new(problems)) }
    }
}

impl BrokenRule {
    /// Whether the rule depends on a value that is unknown because of another fault.
    pub(super) fn hidden_by(&self, unknown: &[FieldPath]) -> bool {
        unknown.iter().any(|fault| fault.contains(&self.path) || self.reads.iter().any(|read| read.overlaps(fault)))
    }
}

/// Every rule that the deployment breaks.
pub(super) fn broken_rules(deployment: &Deployment, target: TargetRule) -> Vec<BrokenRule> {
    let mut rules = RuleChecker::default();
    rules.role("roles.draft", &deployment.roles.draft);
    match (&deployment.roles.target, target) {
        (Some(role), _) => rules.role("roles.target", role),
        (None, TargetRule::Required) => {
            rules.report(
                "roles.target",
                &[],
                "is missing: expected a model, here or on the command line (`serve -m MODEL`)".to_owned(),
            );
        }
        (None, TargetRule::FromCommandLine) => {}
    }
    rules.currencies(&deployment.roles.draft, deployment.roles.target.as_ref());
    rules.reward(&deployment.reward, &deployment.roles.draft);
    rules.steps(deployment);
    rules.policy(deployment);
    rules.server(&deployment.server);
    rules.admin(deployment);
    rules.0
}

#[derive(Default)]
struct RuleChecker(Vec<BrokenRule>);

impl RuleChecker {
    fn report(&mut self, path: &str, reads: &[&str], message: String) {
        let reads = reads.iter().map(|path| FieldPath::parse(path)).collect();
        self.0.push(BrokenRule { path: FieldPath::parse(path), reads, message });
    }

    /// Reports all but the first of the settings that are given.
    fn one_of(&mut self, section: &str, settings: &[(&str, bool)]) {
        let mut given = settings.iter().filter(|(_, given)| *given);
        let Some((first, _)) = given.next() else { return };
        for (other, _) in given {
            let (path, first_path) = (format!("{section}.{other}"), format!("{section}.{first}"));
            self.report(
                &path,
                &[&first_path],
                format!("excludes `{first}`, which is given too: leave one of them out"),
            );
        }
    }

    fn role(&mut self, at: &str, role: &RoleConfig) {
        if let Some(remote) = &role.remote {
            return self.remote_role(at, role, remote);
        }
        self.source(at, role);
        self.conflicts(at, role);
        self.quantization(at, role);
        self.adapters(at, role);
        self.memory(at, role);
        if let Some(source) = &role.token_source {
            let path = format!("{at}.token_source");
            let known = match source.split_once(':') {
                Some(("env", name)) => messages::is_variable_name(name),
                Some(("path" | "literal", rest)) => !rest.is_empty(),
                Some(_) => false,
                None => matches!(&**source, "cache" | "none"),
            };
            if !known {
                let found = messages::quoted(&FieldPath::parse(&path), source);
                self.report(
                    &path,
                    &[],
                    format!("expected cache, none, env:VARIABLE, path:FILE or literal:TOKEN, found {found}"),
                );
            }
        }
    }

    fn source(&mut self, at: &str, role: &RoleConfig) {
        let bundled = format!("{at}.bundled");
        if role.bundled.is_none() {
            if role.model_id.is_none() {
                self.report(
                    at,
                    &[&bundled, &format!("{at}.model_id")],
                    "names no model: expected `bundled`, `model_id` or `remote`".to_owned(),
                );
            }
            return;
        }
        let described = [
            ("model_id", role.model_id.is_some()),
            ("tokenizer", role.tokenizer.is_some()),
            ("arch", role.arch.is_some()),
            ("format", role.format.is_some()),
            ("quantized_file", role.quantized_file.is_some()),
            ("tok_model_id", role.tok_model_id.is_some()),
            ("gqa", role.gqa.is_some()),
            ("lora", role.lora.is_some()),
            ("xlora", role.xlora.is_some()),
            ("xlora_order", role.xlora_order.is_some()),
            ("tgt_non_granular_index", role.tgt_non_granular_index.is_some()),
            ("isq", role.isq.is_some()),
            ("isq_organization", role.isq_organization.is_some()),
            ("from_uqff", role.from_uqff.is_some()),
            ("imatrix", role.imatrix.is_some()),
            ("calibration_file", role.calibration_file.is_some()),
        ];
        for (name, _) in described.iter().filter(|(_, given)| *given) {
            self.report(
                &format!("{at}.{name}"),
                &[&bundled],
                "describes the files of a model, as `bundled` does: leave one of them out".to_owned(),
            );
        }
    }

    /// Options that mistral.rs would ignore or fail on.
    fn conflicts(&mut self, at: &str, role: &RoleConfig) {
        for OptionConflict { key, reads, message } in option_conflicts(role, OptionSpelling::File) {
            let reads: Vec<_> = reads.iter().map(|key| format!("{at}.{key}")).collect();
            let reads: Vec<&str> = reads.iter().map(String::as_str).collect();
            self.report(&format!("{at}.{key}"), &reads, message);
        }
    }

    fn quantization(&mut self, at: &str, role: &RoleConfig) {
        if role.bundled.is_some() {
            return;
        }
        if let Some(isq) = &role.isq
            && !ISQ_TYPES.split(' ').any(|known| known.eq_ignore_ascii_case(isq))
        {
            let path = format!("{at}.isq");
            let found = messages::quoted(&FieldPath::parse(&path), isq);
            self.report(&path, &[], format!("expected one of {}, found {found}", ISQ_TYPES.replace(' ', ", ")));
        }
        let isq = format!("{at}.isq");
        let needs_isq = [
            ("isq_organization", role.isq_organization.is_some()),
            ("imatrix", role.imatrix.is_some()),
            ("calibration_file", role.calibration_file.is_some()),
        ];
        if matches!(role.format, Some(ModelFormat::Gguf | ModelFormat::Ggml)) {
            return;
        }
        for (name, _) in needs_isq.iter().filter(|(_, given)| *given && role.isq.is_none()) {
            self.report(&format!("{at}.{name}"), &[&isq], "needs `isq`, the type to quantize to".to_owned());
        }
        self.one_of(at, &[("isq", role.isq.is_some()), ("from_uqff", role.from_uqff.is_some())]);
        self.one_of(at, &[("imatrix", role.imatrix.is_some()), ("calibration_file", role.calibration_file.is_some())]);
    }

    fn adapters(&mut self, at: &str, role: &RoleConfig) {
        if role.bundled.is_some() {
            return;
        }
        self.one_of(at, &[("lora", role.lora.is_some()), ("xlora", role.xlora.is_some())]);
        let xlora = format!("{at}.xlora");
        // LoRA adapters on a GGUF file come in an order too.
        let ordered_lora = role.lora.is_some() && role.format == Some(ModelFormat::Gguf);
        let only_xlora = [
            ("xlora_order", role.xlora_order.is_some() && !ordered_lora),
            ("tgt_non_granular_index", role.tgt_non_granular_index.is_some()),
        ];
        for (name, _) in only_xlora.iter().filter(|(_, given)| *given && role.xlora.is_none()) {
            self.report(
                &format!("{at}.{name}"),
                &[&xlora],
                "belongs to `xlora`: name the adapter or leave it out".to_owned(),
            );
        }
    }

    fn memory(&mut self, at: &str, role: &RoleConfig) {
        let section = format!("{at}.paged_attn");
        let paged = &role.paged_attn;
        self.one_of(
            &section,
            &[
                ("context_len", paged.context_len.is_some()),
                ("memory_mb", paged.memory_mb.is_some()),
                ("memory_fraction", paged.memory_fraction.is_some()),
            ],
        );
        if role.cpu && paged.mode == PagedAttnMode::On {
            self.report(
                &format!("{section}.mode"),
                &[&format!("{at}.cpu")],
                "expected auto or off where `cpu` is true: PagedAttention needs a GPU".to_owned(),
            );
        }
        let path = format!("{at}.device_layers");
        for entry in role.device_layers.iter().flatten() {
            let fits = entry
                .split_once(':')
                .is_some_and(|(device, layers)| device.parse::<usize>().is_ok() && layers.parse::<usize>().is_ok());
            if !fits {
                let found = messages::quoted(&FieldPath::parse(&path), entry);
                self.report(&path, &[], format!("expected DEVICE:LAYERS in every item, such as 0:16, found {found}"));
            }
        }
    }

    fn steps(&mut self, deployment: &Deployment) {
        let steps = &deployment.steps;
        let target = deployment.roles.target.as_ref();
        if steps.proposals > 0 && target.is_some_and(|target| target.remote.is_some()) {
            let message = format!(
                "expected 0 with a target on a remote engine, which cannot verify the draft's tokens, found {}",
                steps.proposals
            );
            self.report("steps.proposals", &["roles.target.remote"], message);
        }
        match steps.unit {
            StepUnit::Delimiter if steps.delimiters.is_empty() => {
                self.report(
                    "steps.delimiters",
                    &["steps.unit"],
                    "expected at least one string for `unit: delimiter`, found an empty list".to_owned(),
                );
            }
            StepUnit::Tokens if steps.tokens > steps.max_tokens => self.report(
                "steps.tokens",
                &["steps.unit", "steps.max_tokens"],
                format!("expected at most `steps.max_tokens`, which is {}, found {}", steps.max_tokens, steps.tokens),
            ),
            _ => {}
        }
    }

    fn policy(&mut self, deployment: &Deployment) {
        if let Err(error) = deployment.policy.validate() {
            let message = format!("expected {}, found {}", error.expected, error.found);
            self.report(&format!("policy.{}", error.field), &["policy"], message);
        }
        let mut names = std::collections::BTreeSet::new();
        for (index, preset) in deployment.presets.iter().enumerate() {
            let at = format!("presets[{index}]");
            if matches!(preset.name.as_str(), "draft" | "target" | "default") {
                let message = format!("`{}` is a reserved name: choose another name", preset.name);
                self.report_item("presets", message);
            } else if !names.insert(&preset.name) {
                self.report_item("presets", format!("{at}: `{}` is there twice: remove one of them", preset.name));
            }
            if let Err(error) = preset.apply(deployment.policy).validate()
                && deployment.policy.validate().is_ok()
            {
                let (expected, found) = (error.expected, error.found);
                self.report_item("presets", format!("{at}.{}: expected {expected}, found {found}", error.field));
            }
        }
    }

    fn origins(&mut self, list: &str, origins: &[String], any: bool) {
        for (index, origin) in origins.iter().enumerate() {
            let all = any && origin == "*";
            if !all && !is_origin(origin) {
                let star = if any { "* or " } else { "" };
                self.0.push(BrokenRule {
                    path: FieldPath::parse(list).index(index),
                    reads: Vec::new(),
                    message: format!(
                        "expected {star}an origin such as https://chat.example.org, without a path, found {origin:?}"
                    ),
                });
            }
        }
    }

    /// Reports a list because of one of its items, which the message names.
    fn report_item(&mut self, list: &str, message: String) {
        self.report(list, &["policy"], message);
    }

    fn admin(&mut self, deployment: &Deployment) {
        let (admin, server) = (&deployment.admin, &deployment.server);
        for (env, file) in [("read_token_env", "read_token_file"), ("write_token_env", "write_token_file")] {
            let given = |name: &str| match name {
                "read_token_env" => admin.read_token_env.is_some(),
                "read_token_file" => admin.read_token_file.is_some(),
                "write_token_env" => admin.write_token_env.is_some(),
                _ => admin.write_token_file.is_some(),
            };
            self.one_of("admin", &[(env, given(env)), (file, given(file))]);
        }
        for (name, given) in [("read_token_env", &admin.read_token_env), ("write_token_env", &admin.write_token_env)] {
            if given.as_ref().is_some_and(|given| !messages::is_variable_name(given)) {
                let message =
                    "expected the name of an environment variable (letters, digits and _), not the token itself";
                self.report(&format!("admin.{name}"), &[], message.to_owned());
            }
        }
        self.origins("admin.origins", &admin.origins, false);
        if admin.enabled && admin.port != 0 && admin.port == server.port && admin.host == server.host {
            let message = format!("is the OpenAI endpoint's port too ({}): the admin API has its own", server.port);
            self.report("admin.port", &["server.port", "server.host", "admin.host"], message);
        }
    }

    fn server(&mut self, server: &ServerConfig) {
        self.one_of(
            "server",
            &[("api_key_env", server.api_key_env.is_some()), ("api_key_file", server.api_key_file.is_some())],
        );
        if let Some(name) = &server.api_key_env
            && !messages::is_variable_name(name)
        {
            let message = "expected the name of an environment variable (letters, digits and _), not the key itself";
            self.report("server.api_key_env", &[], message.to_owned());
        }
        self.origins("server.cors_origins", &server.cors_origins, true);
        if matches!(server.model_name.as_str(), "draft" | "target") {
            let message = format!(
                "expected a name other than draft and target, which answer alone, found {:?}",
                server.model_name
            );
            self.report("server.model_name", &[], message);
        }
    }
}

/// Whether a browser could send this as the origin of a page: a scheme and a host of visible ASCII, without a path.
fn is_origin(origin: &str) -> bool {
    let Some((scheme, host)) = origin.split_once("://") else { return false };
    let mut letters = scheme.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
        && !host.is_empty()
        && host.chars().all(|letter| letter.is_ascii_graphic() && !"/*?#@,\\".contains(letter))
}

#[cfg(test)]
mod tests;
