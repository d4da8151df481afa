use std::{fs, time::Duration};

use proptest::prelude::*;
use rsd_protocol::{
    event::AdminEvent,
    settings::{PolicyChange, RevisionCause, RollbackRequest, SettingSource},
};
use serde_json::{Value, json};

use super::{
    testing::{ControlFixture, FILE},
    *,
};
use crate::{self as config, SettingOverride, TargetRule, runtime_settings};

fn delta(delta: f64) -> Value {
    json!({"policy": {"delta": delta}})
}

#[test]
fn a_change_is_one_revision_and_says_where_values_come_from() {
    let desk = ControlFixture::new(&[("RSD__POLICY__LOGISTIC_STEEPNESS", "3")]);
    assert_eq!(desk.source("policy.delta"), SettingSource::File);
    assert_eq!(
        desk.source("policy.logistic_steepness"),
        SettingSource::Env { name: "RSD__POLICY__LOGISTIC_STEEPNESS".to_owned() }
    );
    assert_eq!(desk.source("policy.constant_probability"), SettingSource::Default);
    let tag = desk.control.tag();
    let set = json!({"policy": {"delta": 0.25, "route": "draft"}, "limits": {"max_steps": 9}});
    assert_eq!(desk.try_set(&format!("\"{tag}\""), set).unwrap(), 2);
    assert_eq!(desk.source("policy.delta"), SettingSource::Runtime { revision: 2 });
    let newest = desk.control.history(1).remove(0);
    let differences: Vec<_> = newest.differences.iter().map(|each| each.path.as_str()).collect();
    assert_eq!(differences, ["limits.max_steps", "policy.delta", "policy.route"]);
    assert_eq!(desk.control.policy().current().revision, 2);
    // A change of nothing is no revision, and an old tag is stale.
    assert_eq!(desk.set(delta(0.25)), 2);
    assert!(matches!(desk.try_set(&tag, delta(0.3)), Err(ChangeError::Stale { current: 2, .. })));
    assert!(desk.try_set("", delta(0.3)).is_err());
}

#[test]
fn an_invalid_change_changes_nothing() {
    let desk = ControlFixture::new(&[]);
    for set in [
        json!({"policy": {"delta": 3}}),
        json!({"policy": {"delta": 0.1, "nope": 1}}),
        json!({"policy": {"delta": 0.1}, "server": {"port": 2}}),
        json!({"policy": {"delta": 0.1, "mode": "budget", "weighting": "clipping"}}),
        json!({"policy": {"floor": 0.9, "ceiling": 0.1}}),
        json!([]),
        json!(null),
    ] {
        assert!(matches!(desk.try_set("*", set.clone()), Err(ChangeError::Settings { .. })), "{set}");
    }
    assert_eq!((desk.delta(), desk.control.history(9).len()), (0.5, 1));
}

#[test]
fn a_dry_run_says_what_would_be_and_does_nothing() {
    let desk = ControlFixture::new(&[]);
    let change = PolicyChange { set: delta(0.1), persist: true, ..PolicyChange::default() };
    let changed = desk.control.change("*", &change, ChangeAuthor::default(), true).unwrap().result;
    assert_eq!((changed.dry_run, changed.revision, changed.differences.len()), (true, 1, 1));
    assert_eq!((desk.delta(), desk.text().as_str()), (0.5, FILE));
}

#[test]
fn of_two_writers_with_one_tag_exactly_one_wins() {
    let desk = ControlFixture::new(&[]);
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
    let desk = ControlFixture::new(&[]);
    desk.set(delta(0.1));
    desk.set(json!({"policy": {"delta": 0.2, "target_rate": 0.9}, "steps": {"lookahead": 2}}));
    let back = |to| {
        let rollback = RollbackRequest { revision: to, ..RollbackRequest::default() };
        desk.control.rollback("*", &rollback, ChangeAuthor::default(), false).map(|applied| applied.result)
    };
    assert_eq!(back(2).unwrap().revision, 4);
    assert_eq!((desk.delta(), desk.control.policy().current().settings.policy.target_rate), (0.1, 0.3));
    assert_eq!(back(1).unwrap().revision, 5);
    assert_eq!((desk.delta(), desk.source("policy.delta")), (0.5, SettingSource::File));
    assert_eq!(back(99), Err(ChangeError::UnknownRevision(99)));
    let causes: Vec<_> = desk.control.history(2).into_iter().map(|revision| revision.cause).collect();
    assert_eq!(causes, [RevisionCause::Rollback { to: 1 }, RevisionCause::Rollback { to: 2 }]);
}

#[tokio::test(start_paused = true)]
async fn a_change_for_a_time_is_reverted() {
    let desk = ControlFixture::new(&[]);
    let changed = desk.set_for(json!({"policy": {"delta": 0.1, "constant_probability": 0.9}}), 60);
    desk.set(json!({"policy": {"constant_probability": 0.8}}));
    assert_eq!(desk.control.view().reverts.unwrap().revision, changed);
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!(desk.delta(), 0.1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let policy = desk.control.policy().current().settings.policy;
    assert_eq!((policy.delta, policy.constant_probability), (0.5, 0.8), "what somebody set since stays");
    assert_eq!(desk.control.history(1)[0].cause, RevisionCause::Expiry { of: changed });
    assert_eq!(desk.control.view().reverts, None);
}

#[tokio::test(start_paused = true)]
async fn changes_for_a_time_may_lie_over_each_other() {
    // The later one ends first.
    let desk = ControlFixture::new(&[]);
    desk.set_for(delta(0.1), 60);
    desk.set_for(delta(0.2), 30);
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(desk.delta(), 0.1);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(desk.delta(), 0.5);
    // The earlier one ends first.
    let desk = ControlFixture::new(&[]);
    desk.set_for(delta(0.1), 30);
    desk.set_for(delta(0.2), 60);
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(desk.delta(), 0.2);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(desk.delta(), 0.5);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_confirmed_stays() {
    let desk = ControlFixture::new(&[]);
    desk.set_for(delta(0.1), 30);
    assert_eq!(desk.control.confirm().len(), 1);
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!((desk.delta(), desk.control.view().reverts), (0.1, None));
}

#[tokio::test(start_paused = true)]
async fn what_is_written_leaves_the_comments_and_leaves_out_what_will_be_reverted() {
    let desk = ControlFixture::new(&[("RSD__POLICY__LOGISTIC_STEEPNESS", "3")]);
    desk.set(
        json!({"policy": {"delta": 0.25, "logistic_steepness": 4}, "presets": [{"name": "careful", "delta": 0.9}]}),
    );
    desk.set_for(json!({"steps": {"lookahead": 2}}), 60);
    let changed = desk.control.persist().unwrap();
    assert_eq!(changed.warnings.len(), 2, "{:?}", changed.warnings);
    insta::assert_snapshot!(desk.text(), @r#"
    # ours
    version: 1
    roles: {draft: {bundled: draft}, target: {bundled: target}}
    policy:
      delta: 0.25 # half
      logistic_steepness: 4.0
    server:
      port: 1
    presets: [{"name":"careful","delta":0.9}]
    "#);
    assert_eq!(desk.source("policy.delta"), SettingSource::File);
    assert_eq!(desk.source("policy.logistic_steepness"), SettingSource::Runtime { revision: 2 });
    // Reading it again changes nothing.
    assert_eq!(desk.control.reload(ChangeAuthor::default()).revision, 3);
}

#[test]
fn a_change_can_be_written_at_once_or_not_at_all() {
    let desk = ControlFixture::new(&[]);
    let change = PolicyChange { set: delta(0.25), persist: true, ..PolicyChange::default() };
    desk.control.change("*", &change, ChangeAuthor::default(), false).unwrap();
    assert!(desk.text().contains("delta: 0.25 # half"));
    fs::remove_file(&desk.file).unwrap();
    let change = PolicyChange { set: delta(0.3), ..change };
    let error = desk.control.change("*", &change, ChangeAuthor::default(), false);
    assert!(matches!(error, Err(ChangeError::Persist { .. })));
    assert_eq!(desk.delta(), 0.25);
    let both = PolicyChange { ttl_seconds: Some(9), ..change };
    assert!(matches!(
        desk.control.change("*", &both, ChangeAuthor::default(), false),
        Err(ChangeError::Settings { .. })
    ));
}

#[test]
fn a_new_file_applies_whole_or_not_at_all() {
    let desk = ControlFixture::new(&[]);
    let mut events = desk.control.subscribe();
    desk.set(json!({"policy": {"delta": 0.1, "constant_probability": 0.9}}));
    fs::write(&desk.file, FILE.replace("0.5 # half", "0.6\n  target_rate: 7")).unwrap();
    let report = desk.control.reload(ChangeAuthor::default());
    assert!(report.failed && report.problems[0].contains("policy.target_rate"), "{report:?}");
    assert_eq!((desk.delta(), report.revision), (0.1, 2));
    // The file's new word on delta wins over the older change, which p keeps; the port needs a restart.
    fs::write(&desk.file, FILE.replace("0.5", "0.6").replace("port: 1", "port: 2")).unwrap();
    let report = desk.control.reload(ChangeAuthor::default());
    assert_eq!(
        (report.failed, report.revision, report.restart_needed.as_slice()),
        (false, 3, &["server.port".to_owned()][..])
    );
    let policy = desk.control.policy().current().settings.policy;
    assert_eq!((policy.delta, policy.constant_probability), (0.6, 0.9));
    assert_eq!(desk.control.view().restart_needed, ["server.port"]);
    fs::write(&desk.file, FILE).unwrap();
    assert!(desk.control.reload(ChangeAuthor::default()).restart_needed.is_empty());
    let names: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).map(|event: AdminEvent| event.name()).collect();
    assert_eq!(names, ["policy", "reload", "policy", "reload", "policy", "reload"]);
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn a_file_behind_swapped_links_is_watched() {
    let desk = ControlFixture::new(&[]);
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
    let names =
        proptest::sample::select(vec!["policy", "delta", "steps", "presets", "name", "mode", "target_rate", "x"]);
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
        thread_local! { static DESK: ControlFixture = ControlFixture::new(&[]); }
        DESK.with(|desk| {
            let before = desk.control.policy().current();
            let taken = desk.try_set("*", set.clone());
            let now = desk.control.policy().current();
            if taken.is_ok() {
                let whole = runtime_settings::values(&now.settings);
                let loaded = crate::load(Some(&desk.file), [], &[], TargetRule::Required).unwrap();
                prop_assert!(runtime_settings::apply(&loaded.deployment, &whole).is_ok());
            } else {
                prop_assert_eq!(now, before);
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
    let overrides = vec![SettingOverride::parse("policy.delta=0.9").unwrap()];
    let loaded = config::load(Some(&file), [], &overrides, TargetRule::Required).unwrap();
    let policy = Arc::new(PolicyHandle::new(loaded.deployment.runtime_settings()).unwrap());
    let sources =
        LayerSources { file: Some(file.clone()), environment: Vec::new(), overrides, target: TargetRule::Required };
    let control = Control::new(policy, loaded, sources, 10, |_| {});
    fs::write(&file, FILE.replace("0.5", "0.1")).unwrap();
    assert_eq!(control.reload(ChangeAuthor::default()).revision, 1);
    assert_eq!(control.policy().current().settings.policy.delta, 0.9);
}

#[tokio::test(start_paused = true)]
async fn the_same_value_for_longer_or_for_good_is_a_change() {
    let desk = ControlFixture::new(&[]);
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
    let rollback = RollbackRequest { revision: temporary, ..RollbackRequest::default() };
    desk.control.rollback("*", &rollback, ChangeAuthor::default(), false).unwrap();
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(desk.delta(), 0.2);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_reverted_yet_is_reverted_when_it_can_be() {
    let desk = ControlFixture::new(&[]);
    desk.set(json!({"policy": {"weighting": "logistic"}}));
    desk.set_for(json!({"policy": {"weighting": "binary", "delta": 0.1}}), 60);
    desk.set(json!({"policy": {"mode": "budget"}}));
    tokio::time::sleep(Duration::from_secs(61)).await;
    let policy = || desk.control.policy().current().settings.policy;
    assert_eq!((policy().delta, policy().weighting), (0.5, rsd_core::policy::WeightingFunction::Binary));
    assert!(desk.control.view().reverts.is_some());
    desk.set(json!({"policy": {"mode": "fixed"}}));
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(policy().weighting, rsd_core::policy::WeightingFunction::Logistic);
    assert_eq!(desk.control.view().reverts, None);
}

#[test]
fn what_would_be_invalid_is_not_written() {
    let desk = ControlFixture::new(&[("RSD__POLICY__WEIGHTING", "logistic")]);
    desk.set(json!({"policy": {"weighting": "binary"}}));
    // In force it is sound; in the file it would meet the environment's weighting.
    let change = PolicyChange { set: json!({"policy": {"mode": "budget"}}), persist: true, ..PolicyChange::default() };
    for dry_run in [true, false] {
        let error = desk.control.change("*", &change, ChangeAuthor::default(), dry_run).unwrap_err();
        assert!(
            matches!(&error, ChangeError::Persist { reason, .. } if reason.contains("policy.weighting")),
            "{error}"
        );
    }
    assert_eq!((desk.text().as_str(), desk.control.policy().current().revision), (FILE, 2));
    let left = fs::read_dir(desk.file.parent().unwrap()).unwrap().count();
    assert_eq!(left, 1, "files are left beside it");
}

#[test]
fn settings_that_need_each_other_are_written_together() {
    let desk = ControlFixture::new(&[]);
    let base = json!({"policy": {"floor": 0.5, "ceiling": 0.9}});
    let both = |set| PolicyChange { set, persist: true, ..PolicyChange::default() };
    desk.control.change("*", &both(base), ChangeAuthor::default(), false).unwrap();
    let lower = json!({"policy": {"floor": 0.1, "ceiling": 0.3}});
    desk.control.change("*", &both(lower), ChangeAuthor::default(), false).unwrap();
    desk.set(delta(0.2));
    let policy = desk.control.policy().current().settings.policy;
    assert_eq!((policy.floor, policy.ceiling, policy.delta), (0.1, 0.3, 0.2));
    assert_eq!(desk.source("policy.ceiling"), SettingSource::File);
}

#[test]
fn a_former_name_works_in_a_change_and_the_file_gets_the_present_one() {
    let desk = ControlFixture::new(&[]);
    fs::write(&desk.file, FILE.replace("0.5 # half", "0.5 # half\n  gamma: 0.2 # a fifth")).unwrap();
    assert!(!desk.control.reload(ChangeAuthor::default()).failed);
    assert_eq!(desk.control.policy().current().settings.policy.target_rate, 0.2);
    let change = PolicyChange { set: json!({"policy": {"gamma": 0.4}}), persist: true, ..PolicyChange::default() };
    for dry_run in [true, false] {
        let result = desk.control.change("*", &change, ChangeAuthor::default(), dry_run).unwrap().result;
        assert_eq!(result.differences[0].path, "policy.target_rate");
        assert!(matches!(result.warnings.as_slice(), [warning] if warning.contains("policy.target_rate")));
    }
    insta::assert_snapshot!(desk.text(), @r"
    # ours
    version: 1
    roles: {draft: {bundled: draft}, target: {bundled: target}}
    policy:
      delta: 0.5 # half
      target_rate: 0.4 # a fifth
    server:
      port: 1
    ");
    let both = json!({"policy": {"gamma": 0.4, "target_rate": 0.4}});
    assert!(matches!(desk.try_set("*", both), Err(ChangeError::Settings { .. })));
}

#[cfg(unix)]
#[test]
fn a_file_that_has_become_a_pipe_is_reported_and_nothing_waits_for_it() {
    let fixture = ControlFixture::new(&[]);
    fs::remove_file(&fixture.file).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&fixture.file).status().unwrap().success());
    let outcome = fixture.control.reload(ChangeAuthor::default());
    assert!(outcome.failed && outcome.problems[0].contains("it is not a regular file"), "{outcome:?}");
    let change = PolicyChange { set: json!({"policy": {"delta": 0.7}}), persist: true, ..PolicyChange::default() };
    let error = fixture.control.change("*", &change, ChangeAuthor::default(), false).unwrap_err();
    assert!(matches!(&error, ChangeError::Persist { reason, .. } if reason == "it is not a regular file"), "{error}");
    assert_eq!(fixture.set(json!({"policy": {"delta": 0.6}})), 2);
}
