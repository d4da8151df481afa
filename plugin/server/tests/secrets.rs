//! No secret leaves the server: known ones are planted wherever one can be, and everything that comes out is searched.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::connect_info::MockConnectInfo,
    http::{Request, header},
};
use rsd_config::{AdminConfig, LimitsConfig, SettingOverride, TargetRule, control::testing::ControlFixture};
use rsd_core::{
    pipeline::{observe::ObserverFanout, testing::World},
    prediction::StepRecorder,
};
use rsd_protocol::{preview::UnitCosts, token_file::TokenFile};
use rsd_server::{
    ApiKey, AppState, RequestLog,
    admin::{self, AdminState, AdminTokens, AuditLog, RecentTraces},
    metrics::Metrics,
};
use serde_json::{Value, json};
use tower::ServiceExt;

const API_KEY: &str = "planted-api-key";
const READ_TOKEN: &str = "planted-read-token";
const WRITE_TOKEN: &str = "planted-write-token";
/// What a client sends by mistake, such as the key of another service.
const FOREIGN: &str = "planted-foreign-key";
const HUB_TOKEN: &str = "planted-hub-token";
const SECRETS: [&str; 5] = [API_KEY, READ_TOKEN, WRITE_TOKEN, FOREIGN, HUB_TOKEN];

/// What came out, and where.
type OutletText = (String, Vec<u8>);

/// Everything that came out.
#[derive(Clone, Default)]
struct Outlets(Arc<Mutex<Vec<OutletText>>>);

impl Outlets {
    fn add(&self, name: impl Into<String>, bytes: impl AsRef<[u8]>) {
        self.0.lock().unwrap().push((name.into(), bytes.as_ref().to_vec()));
    }

    fn check(&self) {
        let outlets = self.0.lock().unwrap();
        for (name, bytes) in outlets.iter() {
            let text = String::from_utf8_lossy(bytes);
            for secret in SECRETS {
                assert!(!text.contains(secret), "{secret} comes out in {name}: {text}");
            }
        }
    }
}

/// The log, as one outlet.
struct LogWriter(Outlets);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.add("the log", bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn secret_file(folder: &Path, name: &str, secret: &str) -> PathBuf {
    use std::os::unix::fs::OpenOptionsExt;
    let path = folder.join(name);
    let file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path);
    file.unwrap().write_all(secret.as_bytes()).unwrap();
    path
}

struct Site {
    api: Router,
    admin: Router,
    outlets: Outlets,
    _fixture: ControlFixture,
}

impl Site {
    fn open(folder: &Path, outlets: Outlets) -> Self {
        let fixture = ControlFixture::new(&[]);
        let world = World::new(7);
        let recorder = Arc::new(StepRecorder::new(1000));
        let traces = Arc::new(RecentTraces::new(10, true));
        let mut rsd = world.rsd_under(fixture.control.policy().clone());
        let metrics = Arc::new(Metrics::new(&rsd, UnitCosts::default).unwrap());
        rsd.observer = Arc::new(ObserverFanout(vec![recorder.clone(), metrics.clone(), traces.clone()]));
        let key = ApiKey::read(None, Some(&secret_file(folder, "key", API_KEY))).unwrap();
        let app = AppState::new(rsd, "rsd".to_owned(), "big".to_owned(), LimitsConfig::default())
            .with_api_key(key)
            .with_metrics(Some(metrics))
            .with_log(Some(RequestLog::open(&folder.join("requests")).unwrap()));
        let app = Arc::new(app);
        let config = AdminConfig {
            read_token_file: Some(secret_file(folder, "read", READ_TOKEN)),
            write_token_file: Some(secret_file(folder, "write", WRITE_TOKEN)),
            ..AdminConfig::default()
        };
        let (tokens, _file) = AdminTokens::open(&config, 1, "http://a", "http://b").unwrap();
        outlets.add("the tokens, printed", format!("{tokens:?} {config:?}"));
        let state = AdminState {
            app: app.clone(),
            control: fixture.control.clone(),
            recorder,
            traces,
            tokens,
            audit: AuditLog::open(Some(&folder.join("audit"))).unwrap(),
            hosts: Vec::new(),
            origins: Vec::new(),
            endpoint: "http://b".to_owned(),
            file: Some(fixture.file.clone()),
        };
        let peer = SocketAddr::from(([127, 0, 0, 1], 9));
        let admin = admin::router(Arc::new(state)).layer(MockConnectInfo(peer));
        Self { api: rsd_server::router(app, Router::new(), &[], 1 << 20).unwrap(), admin, outlets, _fixture: fixture }
    }

    async fn send(&self, router: &Router, method: &str, path: &str, authorization: &str, body: &str) -> u16 {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::AUTHORIZATION, authorization)
            .header(header::COOKIE, FOREIGN)
            .header("x-api-key", FOREIGN)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::IF_MATCH, "*");
        let response = router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        self.outlets.add(format!("the headers of {method} {path}"), format!("{:?}", response.headers()));
        let is_stream = path.ends_with("/events");
        if !is_stream {
            let bytes = to_bytes(response.into_body(), 8 << 20).await.unwrap();
            self.outlets.add(format!("the answer to {method} {path} with {authorization}"), bytes);
        }
        status
    }
}

/// The paths of a document, with their methods.
async fn routes(router: &Router, path: &str, authorization: &str) -> Vec<(String, String)> {
    let request = Request::get(path).header(header::HOST, "localhost").header(header::AUTHORIZATION, authorization);
    let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let document: Value = serde_json::from_slice(&to_bytes(response.into_body(), 8 << 20).await.unwrap()).unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, operations)| {
            let methods = operations.as_object().unwrap().keys();
            methods.map(move |method| (method.to_uppercase(), path.replace("{id}", "1")))
        })
        .collect()
}

#[tokio::test]
async fn planted_secrets_come_out_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let outlets = Outlets::default();
    let log = outlets.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || LogWriter(log.clone()))
        .finish();
    // For all threads: the audit log writes on one of its own.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let site = Site::open(folder.path(), outlets.clone());
    let authorizations = [
        format!("Bearer {API_KEY}"),
        format!("Bearer {READ_TOKEN}"),
        format!("Bearer {WRITE_TOKEN}"),
        format!("Bearer {FOREIGN}"),
        format!("Basic {FOREIGN}"),
        FOREIGN.to_owned(),
    ];
    let bodies = [
        json!({"messages": [{"role": "user", "content": "hi"}], "prompt": "hi", "stream": true}),
        json!({"prompt": "hi"}),
        json!({"messages": [{"role": "user", "content": "hi"}], "rsd": {"trace": true}}),
        json!({"set": {"policy": {"delta": 0.25}}, "why": "try", "by": "me"}),
        json!({"revision": 77}),
        json!({}),
    ];
    let (mut answered, mut denied) = (0, 0);
    for (router, document, token) in [(&site.api, "/openapi.json", 0), (&site.admin, "/admin/v1/openapi.json", 1)] {
        let mut routes = routes(router, document, &authorizations[token]).await;
        routes.push(("GET".to_owned(), "/nothing".to_owned()));
        for (method, path) in routes {
            for authorization in &authorizations {
                for body in if method == "GET" { &bodies[5..] } else { &bodies[..] } {
                    match site.send(router, &method, &path, authorization, &body.to_string()).await {
                        200 => answered += 1,
                        401 | 403 => denied += 1,
                        _ => {}
                    }
                }
            }
        }
    }
    assert!(answered > 40 && denied > 100, "{answered} {denied}");
    for name in ["requests", "audit"] {
        let text = fs::read(folder.path().join(name)).unwrap();
        assert!(text.len() > 300, "{name}: {}", text.len());
        outlets.add(name, text);
    }
    assert!(outlets.0.lock().unwrap().iter().any(|(name, _)| name == "the log"), "nothing was logged");
    outlets.check();
}

#[test]
fn secrets_in_wrong_places_of_a_deployment_are_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let outlets = Outlets::default();
    for setting in [
        format!("server.api_key_env={API_KEY}"),
        format!("admin.read_token_env={READ_TOKEN}"),
        format!("admin.write_token_env={WRITE_TOKEN}"),
        format!("roles.draft.token_source={HUB_TOKEN}"),
        format!("roles.draft.token_source=literal:{HUB_TOKEN}"),
    ] {
        let flags = ["roles.draft.bundled=draft", "roles.target.bundled=target", &setting];
        let flags = flags.map(|flag| SettingOverride::parse(flag).unwrap());
        outlets.add(format!("{setting}, parsed"), format!("{flags:?}"));
        match rsd_config::load(None, [], &flags, TargetRule::Required) {
            Ok(loaded) => {
                outlets.add(format!("{setting}, printed"), format!("{loaded:?}"));
                outlets.add(format!("{setting}, shown"), rsd_config::table(&loaded.entries(false)));
            }
            Err(error) => outlets.add(format!("{setting}, refused"), format!("{error} {error:?}")),
        }
    }
    let path = secret_file(folder.path(), "open", API_KEY);
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let error = ApiKey::read(None, Some(&path)).unwrap_err();
    outlets.add("a key file that is open to others", format!("{error} {error:?}"));
    let same = AdminConfig {
        read_token_file: Some(secret_file(folder.path(), "a", READ_TOKEN)),
        write_token_file: Some(secret_file(folder.path(), "b", READ_TOKEN)),
        ..AdminConfig::default()
    };
    let error = AdminTokens::open(&same, 1, "", "").unwrap_err();
    outlets.add("two tokens that are one", format!("{error} {error:?}"));
    let tokens = TokenFile {
        admin: String::new(),
        endpoint: String::new(),
        read_token: READ_TOKEN.to_owned(),
        write_token: WRITE_TOKEN.to_owned(),
    };
    outlets.add("the token file, printed", format!("{tokens:?}"));
    outlets.check();
}
