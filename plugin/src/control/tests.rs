use std::{fs, path::PathBuf, time::Duration};

use proptest::prelude::*;
use rsd_protocol::{
    event::Event,
    live::{Cause, Change, Rollback, Source},
};
use serde_json::{Value, json};

use super::*;
use crate::config::{self, Override, TargetRule, hot};

/// A deployment file of its own and the control of it.
pub(crate) struct Desk {
    pub control: Arc<Control>,
    pub file: PathBuf,
    _folder: tempfile::TempDir,
}

const FILE: &str = "# ours\nversion: 1\nroles: {draft: {bundled: draft}, target: {bundled: target}}\npolicy:\n  delta: 0.5 # half\nserver:\n  port: 1\n";

impl Desk {
    pub(crate) fn new(environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("d.yaml");
        fs::write(&file, FILE).unwrap();
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let loaded = config::load(Some(&file), environment.clone(), &[], TargetRule::Required).unwrap();
        let policy = Arc::new(PolicyHandle::new(loaded.deployment.live()).unwrap());
        let sources =
            Sources { file: Some(file.clone()), environment, overrides: Vec::new(), target: TargetRule::Required };
        Self { control: Control::new(policy, loaded, sources, 1000, |_| {}), file, _folder: folder }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.file).unwrap()
    }

    fn delta(&self) -> f64 {
        self.control.policy().current().live.policy.delta
    }

    fn source(&self, path: &str) -> Source {
        self.control.view().settings.into_iter().find(|setting| setting.path == path).unwrap().source
    }

    fn try_set(&self, tag: &str, set: Value) -> Result<u64, Refusal> {
        let change = Change { set, ..Change::default() };
        self.control.change(tag, &change, Author::default(), false).map(|made| made.changed.revision)
    }

    fn set(&self, set: Value) -> u64 {
        self.try_set("*", set).unwrap()
    }

    fn set_for(&self, set: Value, seconds: u64) -> u64 {
        let change = Change { set, ttl_seconds: Some(seconds), ..Change::default() };
        self.control.change("*", &change, Author::default(), false).unwrap().changed.revision
    }
}

fn delta(delta: f64) -> Value {
    json!({"policy": {"delta": delta}})
}

#[test]
fn a_change_is_one_revision_and_says_where_values_come_from() {
    let desk = Desk::new(&[("RSD__POLICY__ALPHA", "3")]);
    assert_eq!(desk.source("policy.delta"), Source::File);
    assert_eq!(desk.source("policy.alpha"), Source::Env { name: "RSD__POLICY__ALPHA".to_owned() });
    assert_eq!(desk.source("policy.p"), Source::Default);
    let tag = desk.control.tag();
    let set = json!({"policy": {"delta": 0.25, "answers": "draft"}, "limits": {"max_steps": 9}});
    assert_eq!(desk.try_set(&format!("\"{tag}\""), set).unwrap(), 2);
    assert_eq!(desk.source("policy.delta"), Source::Runtime { revision: 2 });
    let newest = desk.control.history(1).remove(0);
    let differences: Vec<_> = newest.differences.iter().map(|each| each.path.as_str()).collect();
    assert_eq!(differences, ["limits.max_steps", "policy.answers", "policy.delta"]);
    assert_eq!(desk.control.policy().current().revision, 2);
    // A change of nothing is no revision, and an old tag is stale.
    assert_eq!(desk.set(delta(0.25)), 2);
    assert!(matches!(desk.try_set(&tag, delta(0.3)), Err(Refusal::Stale { current: 2, .. })));
    assert!(desk.try_set("", delta(0.3)).is_err());
}

#[test]
fn a_refused_change_changes_nothing() {
    let desk = Desk::new(&[]);
    for set in [
        json!({"policy": {"delta": 3}}),
        json!({"policy": {"delta": 0.1, "nope": 1}}),
        json!({"policy": {"delta": 0.1}, "server": {"port": 2}}),
        json!({"policy": {"delta": 0.1, "mode": "budget", "weighting": "clipping"}}),
        json!({"policy": {"floor": 0.9, "ceiling": 0.1}}),
        json!([]),
        json!(null),
    ] {
        assert!(matches!(desk.try_set("*", set.clone()), Err(Refusal::Settings { .. })), "{set}");
    }
    assert_eq!((desk.delta(), desk.control.history(9).len()), (0.5, 1));
}

#[test]
fn a_dry_run_says_what_would_be_and_does_nothing() {
    let desk = Desk::new(&[]);
    let change = Change { set: delta(0.1), persist: true, ..Change::default() };
    let changed = desk.control.change("*", &change, Author::default(), true).unwrap().changed;
    assert_eq!((changed.dry_run, changed.revision, changed.differences.len()), (true, 1, 1));
    assert_eq!((desk.delta(), desk.text().as_str()), (0.5, FILE));
}

#[test]
fn of_two_writers_with_one_tag_exactly_one_wins() {
    let desk = Desk::new(&[]);
    for round in 0..1000_u32 {
        let tag = desk.control.tag();
        let barrier = std::sync::Barrier::new(2);
        let wins: usize = std::thread::scope(|scope| {
            let writers = [0.0, 0.5].map(|offset| {
                let (desk, tag, barrier) = (&desk, &tag, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    usize::from(desk.try_set(tag, delta(f64::from(round % 400 + 1) / 1000.0 + offset)).is_ok())
                })
            });
            writers.into_iter().map(|writer| writer.join().unwrap()).sum()
        });
        assert_eq!(wins, 1, "round {round}");
    }
    let history = desk.control.history(usize::MAX);
    assert_eq!(history.len(), 1000, "bounded");
    for pair in history.windows(2) {
        assert_eq!(pair[0].revision, pair[1].revision + 1);
        assert_eq!(pair[0].differences[0].old, pair[1].differences[0].new, "a lost update");
    }
    assert_eq!(history[0].revision, 1001);
}

#[test]
fn going_back_is_a_new_revision() {
    let desk = Desk::new(&[]);
    desk.set(delta(0.1));
    desk.set(json!({"policy": {"delta": 0.2, "gamma": 0.9}, "steps": {"lookahead": 2}}));
    let back = |to| {
        let rollback = Rollback { revision: to, ..Rollback::default() };
        desk.control.rollback("*", &rollback, Author::default(), false).map(|made| made.changed)
    };
    assert_eq!(back(2).unwrap().revision, 4);
    assert_eq!((desk.delta(), desk.control.policy().current().live.policy.gamma), (0.1, 0.3));
    assert_eq!(back(1).unwrap().revision, 5);
    assert_eq!((desk.delta(), desk.source("policy.delta")), (0.5, Source::File));
    assert_eq!(back(99), Err(Refusal::UnknownRevision(99)));
    let causes: Vec<_> = desk.control.history(2).into_iter().map(|revision| revision.cause).collect();
    assert_eq!(causes, [Cause::Rollback { to: 1 }, Cause::Rollback { to: 2 }]);
}

#[tokio::test(start_paused = true)]
async fn a_change_for_a_time_takes_itself_back() {
    let desk = Desk::new(&[]);
    let changed = desk.set_for(json!({"policy": {"delta": 0.1, "p": 0.9}}), 60);
    desk.set(json!({"policy": {"p": 0.8}}));
    assert_eq!(desk.control.view().reverts.unwrap().revision, changed);
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!(desk.delta(), 0.1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let policy = desk.control.policy().current().live.policy;
    assert_eq!((policy.delta, policy.p), (0.5, 0.8), "what somebody set since stays");
    assert_eq!(desk.control.history(1)[0].cause, Cause::Expiry { of: changed });
    assert_eq!(desk.control.view().reverts, None);
}

#[tokio::test(start_paused = true)]
async fn changes_for_a_time_may_lie_over_each_other() {
    // The later one ends first.
    let desk = Desk::new(&[]);
    desk.set_for(delta(0.1), 60);
    desk.set_for(delta(0.2), 30);
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(desk.delta(), 0.1);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(desk.delta(), 0.5);
    // The earlier one ends first.
    let desk = Desk::new(&[]);
    desk.set_for(delta(0.1), 30);
    desk.set_for(delta(0.2), 60);
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(desk.delta(), 0.2);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(desk.delta(), 0.5);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_kept_stays() {
    let desk = Desk::new(&[]);
    desk.set_for(delta(0.1), 30);
    assert_eq!(desk.control.keep().len(), 1);
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!((desk.delta(), desk.control.view().reverts), (0.1, None));
}

#[tokio::test(start_paused = true)]
async fn what_is_written_keeps_the_files_comments_and_leaves_out_what_ends() {
    let desk = Desk::new(&[("RSD__POLICY__ALPHA", "3")]);
    desk.set(json!({"policy": {"delta": 0.25, "alpha": 4}, "presets": [{"name": "careful", "delta": 0.9}]}));
    desk.set_for(json!({"steps": {"lookahead": 2}}), 60);
    let changed = desk.control.persist().unwrap();
    assert_eq!(changed.warnings.len(), 2, "{:?}", changed.warnings);
    insta::assert_snapshot!(desk.text(), @r#"
    # ours
    version: 1
    roles: {draft: {bundled: draft}, target: {bundled: target}}
    policy:
      delta: 0.25 # half
      alpha: 4.0
    server:
      port: 1
    presets: [{"name":"careful","delta":0.9}]
    "#);
    assert_eq!(desk.source("policy.delta"), Source::File);
    assert_eq!(desk.source("policy.alpha"), Source::Runtime { revision: 2 });
    // Reading it again changes nothing.
    assert_eq!(desk.control.reload(Author::default()).revision, 3);
}

#[test]
fn a_change_can_be_written_at_once_or_not_at_all() {
    let desk = Desk::new(&[]);
    let change = Change { set: delta(0.25), persist: true, ..Change::default() };
    desk.control.change("*", &change, Author::default(), false).unwrap();
    assert!(desk.text().contains("delta: 0.25 # half"));
    fs::remove_file(&desk.file).unwrap();
    let change = Change { set: delta(0.3), ..change };
    let refused = desk.control.change("*", &change, Author::default(), false);
    assert!(matches!(refused, Err(Refusal::Persist { .. })));
    assert_eq!(desk.delta(), 0.25);
    let both = Change { ttl_seconds: Some(9), ..change };
    assert!(matches!(desk.control.change("*", &both, Author::default(), false), Err(Refusal::Settings { .. })));
}

#[test]
fn a_new_file_is_taken_whole_or_refused_whole() {
    let desk = Desk::new(&[]);
    let mut events = desk.control.subscribe();
    desk.set(json!({"policy": {"delta": 0.1, "p": 0.9}}));
    fs::write(&desk.file, FILE.replace("0.5 # half", "0.6\n  gamma: 7")).unwrap();
    let report = desk.control.reload(Author::default());
    assert!(report.refused && report.problems[0].contains("policy.gamma"), "{report:?}");
    assert_eq!((desk.delta(), report.revision), (0.1, 2));
    // The file's new word on delta wins over the older change, which p keeps; the port needs a restart.
    fs::write(&desk.file, FILE.replace("0.5", "0.6").replace("port: 1", "port: 2")).unwrap();
    let report = desk.control.reload(Author::default());
    assert_eq!(
        (report.refused, report.revision, report.restart_needed.as_slice()),
        (false, 3, &["server.port".to_owned()][..])
    );
    let policy = desk.control.policy().current().live.policy;
    assert_eq!((policy.delta, policy.p), (0.6, 0.9));
    assert_eq!(desk.control.view().restart_needed, ["server.port"]);
    fs::write(&desk.file, FILE).unwrap();
    assert!(desk.control.reload(Author::default()).restart_needed.is_empty());
    let names: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).map(|event: Event| event.name()).collect();
    assert_eq!(names, ["policy", "reload", "policy", "reload", "policy", "reload"]);
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn a_file_behind_swapped_links_is_watched() {
    let desk = Desk::new(&[]);
    let folder = desk.file.parent().unwrap();
    // As a cluster mounts it: the file is a link through a link that is swapped.
    for (name, text) in [("one", FILE.to_owned()), ("two", FILE.replace("0.5", "0.7"))] {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("d.yaml"), text).unwrap();
    }
    std::os::unix::fs::symlink("one", folder.join("data")).unwrap();
    fs::remove_file(&desk.file).unwrap();
    std::os::unix::fs::symlink("data/d.yaml", &desk.file).unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let watching = tokio::spawn(watch(desk.control.clone(), stop.clone()));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(desk.control.policy().current().revision, 1);
    std::os::unix::fs::symlink("two", folder.join("new")).unwrap();
    fs::rename(folder.join("new"), folder.join("data")).unwrap();
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if desk.delta() == 0.7 {
            break;
        }
        // The reload runs on a thread that paused time does not wait for.
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(desk.delta(), 0.7);
    stop.cancel();
    watching.await.unwrap();
}

fn any_json() -> impl Strategy<Value = Value> {
    let names = proptest::sample::select(vec!["policy", "delta", "steps", "presets", "name", "mode", "gamma", "x"]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0.0f64..1.0).prop_map(Value::from),
        "[a-z]{0,6}".prop_map(Value::from),
        proptest::sample::select(vec!["budget", "draft", "binary"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((names.clone(), inner), 0..5)
                .prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn whatever_is_sent_only_valid_settings_are_taken(set in any_json()) {
        thread_local! { static DESK: Desk = Desk::new(&[]); }
        DESK.with(|desk| {
            let before = desk.control.policy().current();
            let taken = desk.try_set("*", set.clone());
            let now = desk.control.policy().current();
            match taken {
                Ok(_) => {
                    let whole = hot::values(&now.live).into_iter().collect::<Vec<_>>();
                    let loaded = crate::config::load(Some(&desk.file), [], &[], TargetRule::Required).unwrap();
                    prop_assert!(hot::with(&loaded.deployment, &whole).is_ok());
                }
                Err(_) => prop_assert_eq!(now, before),
            }
            Ok(())
        })?;
    }
}

#[test]
fn options_of_the_line_stay_stronger_than_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("d.yaml");
    fs::write(&file, FILE).unwrap();
    let overrides = vec![Override::parse("policy.delta=0.9").unwrap()];
    let loaded = config::load(Some(&file), [], &overrides, TargetRule::Required).unwrap();
    let policy = Arc::new(PolicyHandle::new(loaded.deployment.live()).unwrap());
    let sources =
        Sources { file: Some(file.clone()), environment: Vec::new(), overrides, target: TargetRule::Required };
    let control = Control::new(policy, loaded, sources, 10, |_| {});
    fs::write(&file, FILE.replace("0.5", "0.1")).unwrap();
    assert_eq!(control.reload(Author::default()).revision, 1);
    assert_eq!(control.policy().current().live.policy.delta, 0.9);
}

#[tokio::test(start_paused = true)]
async fn the_same_value_for_longer_or_for_good_is_a_change() {
    let desk = Desk::new(&[]);
    desk.set_for(delta(0.1), 60);
    assert_eq!(desk.set_for(delta(0.1), 600), 3);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(desk.delta(), 0.1);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(desk.delta(), 0.5);
    let temporary = desk.set_for(delta(0.1), 60);
    assert_eq!(desk.set(delta(0.1)), temporary + 1);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!((desk.delta(), desk.control.view().reverts), (0.1, None));
    // Going back to a revision that is temporary keeps its values too.
    let temporary = desk.set_for(delta(0.2), 60);
    let rollback = Rollback { revision: temporary, ..Rollback::default() };
    desk.control.rollback("*", &rollback, Author::default(), false).unwrap();
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(desk.delta(), 0.2);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_taken_back_yet_is_taken_back_when_it_can_be() {
    let desk = Desk::new(&[]);
    desk.set(json!({"policy": {"weighting": "logistic"}}));
    desk.set_for(json!({"policy": {"weighting": "binary", "delta": 0.1}}), 60);
    desk.set(json!({"policy": {"mode": "budget"}}));
    tokio::time::sleep(Duration::from_secs(61)).await;
    let policy = || desk.control.policy().current().live.policy;
    assert_eq!((policy().delta, policy().weighting), (0.5, crate::policy::Weighting::Binary));
    assert!(desk.control.view().reverts.is_some());
    desk.set(json!({"policy": {"mode": "fixed"}}));
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(policy().weighting, crate::policy::Weighting::Logistic);
    assert_eq!(desk.control.view().reverts, None);
}

#[test]
fn what_the_server_would_refuse_is_not_written() {
    let desk = Desk::new(&[("RSD__POLICY__WEIGHTING", "logistic")]);
    desk.set(json!({"policy": {"weighting": "binary"}}));
    // In force it is sound; in the file it would meet the environment's weighting.
    let change = Change { set: json!({"policy": {"mode": "budget"}}), persist: true, ..Change::default() };
    for dry_run in [true, false] {
        let refused = desk.control.change("*", &change, Author::default(), dry_run).unwrap_err();
        assert!(
            matches!(&refused, Refusal::Persist { reason, .. } if reason.contains("policy.weighting")),
            "{refused}"
        );
    }
    assert_eq!((desk.text().as_str(), desk.control.policy().current().revision), (FILE, 2));
    let left = fs::read_dir(desk.file.parent().unwrap()).unwrap().count();
    assert_eq!(left, 1, "files are left beside it");
}

#[test]
fn settings_that_need_each_other_are_written_together() {
    let desk = Desk::new(&[]);
    let base = json!({"policy": {"floor": 0.5, "ceiling": 0.9}});
    let both = |set| Change { set, persist: true, ..Change::default() };
    desk.control.change("*", &both(base), Author::default(), false).unwrap();
    let lower = json!({"policy": {"floor": 0.1, "ceiling": 0.3}});
    desk.control.change("*", &both(lower), Author::default(), false).unwrap();
    desk.set(delta(0.2));
    let policy = desk.control.policy().current().live.policy;
    assert_eq!((policy.floor, policy.ceiling, policy.delta), (0.1, 0.3, 0.2));
    assert_eq!(desk.source("policy.ceiling"), Source::File);
}
