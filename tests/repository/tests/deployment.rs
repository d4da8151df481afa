//! The ways to deploy the server agree: the same command, the same user, and files that exist.
#![allow(clippy::unwrap_used, clippy::panic)]

use regex::Regex;
use rsd_repository::{root, text};

fn deploy(file: &str) -> String {
    text(&root().join("examples/deploy").join(file))
}

/// The words after `serve`, without the quotes and commas of the format.
fn serve_arguments(file: &str, line: &str) -> Vec<String> {
    let text = deploy(file);
    let line = text.lines().find(|found| found.trim_start().starts_with(line));
    let line = line.unwrap_or_else(|| panic!("{file} does not start the server"));
    let words = line.split(|c: char| c.is_whitespace() || "[],\"=".contains(c)).filter(|word| !word.is_empty());
    words.skip_while(|word| *word != "serve").map(str::to_owned).collect()
}

#[test]
fn every_way_starts_the_server_with_options_that_it_has() {
    let options = text(&root().join("docs/serve-options.md"));
    for (file, line) in
        [("Containerfile", "CMD ["), ("mistralrs-rsd.service", "ExecStart="), ("kubernetes/server.yaml", "args:")]
    {
        let arguments = serve_arguments(file, line);
        assert_eq!(arguments[..3], ["serve", "--rsd", "/etc/mistralrs-rsd/deployment.yaml"], "{file}");
        for option in arguments.iter().filter(|word| word.starts_with("--")) {
            assert!(options.contains(&format!("`{option}")), "{file}: {option} is no option of serve");
        }
    }
}

#[test]
fn what_the_files_copy_exists() {
    let copied = Regex::new(r"(?m)^COPY (?:--chmod=\d+ )?([^-\n]\S*(?: \S+)*) \S+$").unwrap();
    let image = deploy("Containerfile");
    let mut sources: Vec<String> = copied
        .captures_iter(&image)
        .flat_map(|found| found[1].split(' ').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let resource = Regex::new(r"(?m)^ +- ([a-z./-]+\.(?:yaml|safetensors))$").unwrap();
    let kustomization = deploy("kubernetes/kustomization.yaml");
    sources.extend(
        resource.captures_iter(&kustomization).map(|found| format!("examples/deploy/kubernetes/{}", &found[1])),
    );
    assert!(sources.len() > 12, "{sources:?}");
    for source in sources {
        assert!(root().join(&source).exists(), "{source}");
    }
}

#[test]
fn the_image_and_the_pods_have_the_same_user() {
    let user = Regex::new(r"USER (\d+):\d+").unwrap();
    let image = deploy("Containerfile");
    let user = user.captures(&image).unwrap_or_else(|| panic!("the image has no user"))[1].to_owned();
    let pods = deploy("kubernetes/server.yaml");
    for key in ["runAsUser", "runAsGroup", "fsGroup"] {
        assert!(pods.contains(&format!("{key}: {user}\n")), "{key}");
    }
}

#[test]
fn the_time_to_stop_is_longer_than_the_time_to_drain() {
    let number = |file: &str, pattern: &str| -> u32 {
        let text = deploy(file);
        Regex::new(pattern).unwrap().captures(&text).unwrap_or_else(|| panic!("{file}: {pattern}"))[1].parse().unwrap()
    };
    let drain = number("deployment.yaml", r"drain_seconds: (\d+)");
    assert!(number("mistralrs-rsd.service", r"TimeoutStopSec=(\d+)") > drain);
    assert!(number("kubernetes/server.yaml", r"terminationGracePeriodSeconds: (\d+)") > drain);
}
