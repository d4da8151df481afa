//! A server in a child process, started as an operator starts it, on two tiny models and a reward head.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use mistralrs_rsd::deploy::observable_draft;
use reqwest::Client;
use rsd_protocol::{preview::PolicyPreview, routes, settings::PolicyView, status::ServerStatus, token_file::TokenFile};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{programs, tiny_head, tiny_model::TinyModel};

/// An operator's machine: a home folder, a deployment file and the running server.
pub struct OperatorSite {
    pub runtime: Runtime,
    pub home: TempDir,
    pub client: Client,
    /// The deployment file.
    pub file: PathBuf,
    /// Environment variables that the server gets beside those of the site.
    pub environment: Vec<(&'static str, OsString)>,
    deployment: Value,
    draft: TinyModel,
    _target: TinyModel,
    server: Option<Child>,
}

impl OperatorSite {
    /// Starts a server with the threshold `delta` on free ports.
    #[must_use]
    pub fn start(delta: f64) -> Self {
        let mut site = Self::prepare(|deployment| deployment["policy"]["delta"] = delta.into());
        site.launch();
        site.until_ready(None);
        site
    }

    /// Writes the models and the deployment file, in which `edit` may change settings.
    pub fn prepare(edit: impl FnOnce(&mut Value)) -> Self {
        let runtime = Runtime::new().unwrap();
        let home = tempfile::tempdir().unwrap();
        let (draft, target) = (TinyModel::gguf(1).unwrap(), TinyModel::gguf(2).unwrap());
        let observed = runtime.block_on(observable_draft(&draft.role())).unwrap();
        tiny_head::write(&home.path().join("head.safetensors"), &observed.sha256).unwrap();
        let role = |tiny: &TinyModel| {
            json!({
                "model_id": tiny.path(), "format": "gguf", "quantized_file": "tiny.gguf", "dtype": "f32",
                "token_source": "none", "cpu": true,
            })
        };
        let mut deployment = json!({
            "version": 1,
            "roles": {"draft": role(&draft), "target": role(&target)},
            "reward": {"kind": "resident", "head": "head.safetensors"},
            "policy": {"delta": 0.5, "after_rejection": "draft"},
            "steps": {"unit": "tokens", "tokens": 6},
            "server": {"host": "127.0.0.1", "port": 0},
            "admin": {"port": 0},
        });
        let file = home.path().join("deployment.yaml");
        edit(&mut deployment);
        fs::write(&file, deployment.to_string()).unwrap();
        Self {
            runtime,
            home,
            client: Client::new(),
            file,
            environment: Vec::new(),
            deployment,
            draft,
            _target: target,
            server: None,
        }
    }

    /// Starts the server and does not wait for it.
    pub fn launch(&mut self) {
        self.server = Some(serve(self.home.path(), &self.file, &self.environment));
    }

    /// Deletes the token files of servers that were killed. On another port each one leaves its own.
    pub fn forget_tokens(&self) {
        while let Some(file) = self.token_file() {
            fs::remove_file(file).unwrap();
        }
    }

    /// The server's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.as_ref().unwrap().id()
    }

    /// Sends a signal such as `TERM` to the server.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.pid().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// The exit status of the server; `None` if it is still running after `patience`.
    pub fn exit_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        let began = Instant::now();
        loop {
            let status = self.server.as_mut().unwrap().try_wait().unwrap();
            if status.is_some() || began.elapsed() > patience {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What the server has logged since it was started.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("server.log")).unwrap_or_default()
    }

    /// Kills the server, so that its token file remains as after a crash.
    pub fn kill(&mut self) {
        let server = self.server.as_mut().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// Starts the server again on its former ports.
    pub fn start_again(&mut self) {
        let before = self.tokens();
        let port = |url: &str| url.rsplit(':').next().unwrap().parse::<u16>().unwrap();
        self.deployment["server"]["port"] = port(&before.endpoint).into();
        self.deployment["admin"]["port"] = port(&before.admin).into();
        fs::write(&self.file, self.deployment.to_string()).unwrap();
        self.launch();
        self.until_ready(Some(&before.write_token));
    }

    /// The file in which the server publishes its address and its tokens.
    #[must_use]
    pub fn token_file(&self) -> Option<PathBuf> {
        let folder = fs::read_dir(self.home.path().join("mistralrs-rsd")).ok()?;
        let is_one = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("admin-"));
        folder.flatten().map(|entry| entry.path()).find(is_one)
    }

    #[must_use]
    pub fn tokens(&self) -> TokenFile {
        serde_json::from_slice(&fs::read(self.token_file().unwrap()).unwrap()).unwrap()
    }

    /// Waits until the server is ready and has published tokens other than `old_token`.
    pub fn until_ready(&self, old_token: Option<&str>) {
        let began = Instant::now();
        loop {
            let new = self.token_file().map(|_| self.tokens()).filter(|file| Some(&*file.write_token) != old_token);
            if new.is_some() && self.get::<ServerStatus>(routes::STATUS).is_some_and(|status| status.ready) {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(120), "the server never became ready:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// An answer of the admin API; `None` if the server cannot be reached or returns an error.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Option<T> {
        let file = self.tokens();
        let asked = self.client.get(format!("{}{path}", file.admin)).bearer_auth(file.read_token);
        let answered = async { asked.timeout(Duration::from_secs(20)).send().await?.error_for_status()?.json().await };
        self.runtime.block_on(answered).ok()
    }

    #[must_use]
    pub fn policy(&self) -> PolicyView {
        self.get(routes::POLICY).unwrap()
    }

    #[must_use]
    pub fn preview(&self) -> PolicyPreview {
        self.get(&format!("{}?delta=0..1&step=0.005", routes::PREVIEW)).unwrap()
    }

    /// A request for a long answer.
    #[must_use]
    pub fn question(&self, seed: u64) -> (String, Value) {
        let no_end: Map<_, _> = self.draft.ends().iter().map(|id| (id.to_string(), json!(-100))).collect();
        let body = json!({
            "model": "rsd", "prompt": format!("once upon {seed}"), "max_tokens": 60, "temperature": 1, "seed": seed,
            "rsd": {"trace": true}, "logit_bias": no_end,
        });
        (format!("{}/v1/completions", self.tokens().endpoint), body)
    }

    /// The threshold and the revision under which each step of a new answer is decided.
    #[must_use]
    pub fn decided_under(&self, seed: u64) -> Vec<(f64, u64)> {
        let (url, body) = self.question(seed);
        let answer = async { self.client.post(url).json(&body).send().await?.error_for_status()?.json().await };
        let answer: Value = self.runtime.block_on(answer).unwrap();
        let steps = answer["rsd"]["choices"][0]["steps"].as_array().unwrap();
        let of = |step: &Value| (step["delta"].as_f64().unwrap(), step["revision"].as_u64().unwrap());
        steps.iter().map(of).collect()
    }
}

impl Drop for OperatorSite {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

fn serve(home: &Path, file: &Path, environment: &[(&str, OsString)]) -> Child {
    let log = File::create(home.join("server.log")).unwrap();
    programs::command(&["mistralrs-rsd", "serve", "--rsd", &file.to_string_lossy()])
        .env("XDG_RUNTIME_DIR", home)
        .env("HOME", home)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}
