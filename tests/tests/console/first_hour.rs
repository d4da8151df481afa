//! A new operator's first hour: the console starts without flags, changes the threshold, and survives a crash of the
//! server.

use rsd_console::test_support::pseudo_terminal::{AFTER, PseudoTerminal, assert_restored};

use rsd_tests::{operator_site::OperatorSite, programs};

/// Shown once the server has answered the dry run of a change.
const CHOICE: &str = "[ cancel ]      apply";

/// Asserts that each step of a new answer is decided under this threshold and revision.
fn assert_decided_under(site: &OperatorSite, seed: u64, delta: f64, revision: u64) {
    let steps = site.decided_under(seed);
    assert!(steps.len() > 3 && steps.iter().all(|step| *step == (delta, revision)), "{steps:?}");
}

#[test]
fn from_the_first_look_over_a_change_and_its_undoing_to_a_crash_and_back() {
    let mut site = OperatorSite::start(0.5);
    let console = format!("{}; {AFTER}", programs::shell(&["rsd-console"]));
    let mut pty = PseudoTerminal::open(site.home.path(), &console);
    assert_only_the_owner_reads_the_token_file(&site);
    pty.wait("LIVE  delta 0.50  rev 1");
    assert!(pty.screen.lock().unwrap().screen().alternate_screen());
    assert_decided_under(&site, 1, 0.5, 1);

    // Nothing changes before the confirmation; afterwards new answers use the new threshold.
    pty.press("d0.25\r");
    pty.wait("predicted from");
    assert_eq!(site.policy().revision, 1);
    pty.press("l\r");
    pty.wait("revision 2: policy.delta 0.5 -> 0.25");
    pty.wait("LIVE  delta 0.25  rev 2");
    let policy = site.policy();
    assert_eq!((policy.revision, policy.values.policy.delta), (2, 0.25));
    assert_decided_under(&site, 2, 0.25, 2);

    pty.press("u");
    pty.wait("Back to revision 1");
    pty.wait(CHOICE);
    pty.press("l\r");
    pty.wait("revision 3: policy.delta 0.25 -> 0.5");
    pty.wait("LIVE  delta 0.50  rev 3");
    assert_eq!((site.policy().revision, site.policy().values.policy.delta), (3, 0.5));
    assert_decided_under(&site, 3, 0.5, 3);
    pty.press("6");
    pty.wait("ana");

    // A restarted server has new tokens and the policy of its file. The console finds the tokens and can change it.
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
    assert_restored(&pty, "code 0");
}

fn assert_only_the_owner_reads_the_token_file(site: &OperatorSite) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(site.token_file().unwrap()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
