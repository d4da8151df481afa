//! A newcomer's first hour: the console is started without flags, changes the threshold, and survives the server.

use crate::{
    programs,
    site::Site,
    terminal::{AFTER, Pty, sane},
};

/// Seen once the server has said what a change would do.
const CHOICE: &str = "[ cancel ]      apply";

/// Everything an answer is judged under now is this.
fn all_under(site: &Site, seed: u64, delta: f64, revision: u64) {
    let steps = site.judged_under(seed);
    assert!(steps.len() > 3 && steps.iter().all(|step| *step == (delta, revision)), "{steps:?}");
}

#[test]
fn from_the_first_look_over_a_change_and_its_undoing_to_a_crash_and_back() {
    let mut site = Site::start(0.5);
    let console = format!("{}; {AFTER}", programs::shell(&["rsd-console"]));
    let Some(mut pty) = Pty::open(site.home.path(), &console) else {
        eprintln!("skipped: there is no `script` here");
        return;
    };
    left_for_the_owner_alone(&site);
    pty.wait("LIVE  delta 0.50  rev 1");
    assert!(pty.screen.lock().unwrap().screen().alternate_screen());
    all_under(&site, 1, 0.5, 1);

    // Nothing changes before the yes, and then what is served does.
    pty.press("d0.25\r");
    pty.wait("predicted from");
    assert_eq!(site.policy().revision, 1);
    pty.press("l\r");
    pty.wait("revision 2: policy.delta 0.5 -> 0.25");
    pty.wait("LIVE  delta 0.25  rev 2");
    let policy = site.policy();
    assert_eq!((policy.revision, policy.values.policy.delta), (2, 0.25));
    all_under(&site, 2, 0.25, 2);

    pty.press("u");
    pty.wait("Back to revision 1");
    pty.wait(CHOICE);
    pty.press("l\r");
    pty.wait("revision 3: policy.delta 0.25 -> 0.5");
    pty.wait("LIVE  delta 0.50  rev 3");
    assert_eq!((site.policy().revision, site.policy().values.policy.delta), (3, 0.5));
    all_under(&site, 3, 0.5, 3);
    pty.press("6");
    pty.wait("ana");

    // A server that comes back has new tokens and its file's policy; the console may change it all the same.
    site.kill();
    pty.wait("DOWN, next try");
    site.start_again();
    pty.wait("LIVE  delta 0.50  rev 1");
    pty.press("d0.3\r");
    pty.wait(CHOICE);
    pty.press("l\r");
    pty.wait("LIVE  delta 0.30  rev 2");
    assert_eq!(site.policy().values.policy.delta, 0.3);

    pty.press("q");
    pty.wait("[finished]");
    sane(&pty, "code 0");
}

fn left_for_the_owner_alone(site: &Site) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(site.token_file().unwrap()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
