//! Under load the console predicts the acceptance rate of a threshold and, after the change, shows about that rate.

use std::time::{Duration, Instant};

use rsd_console::test_support::pseudo_terminal::PseudoTerminal;

use rsd_tests::programs;

use rsd_tests::operator_site::OperatorSite;

/// Seconds over which the console computes its figures.
const WINDOW: u64 = 10;

/// Allowed difference of figure and prediction in percentage points. A prediction assumes that the draft's rewards do
/// not depend on the threshold; with random models, whose next step depends on which model decoded the last one, that
/// is wrong by about ten points.
const TOLERANCE: f64 = 25.0;

/// The acceptance rate of steps, in percent, that the overview's headline names.
fn shown(screen: &str) -> Option<f64> {
    screen.split_once("Acceptance ")?.1.split(' ').next()?.parse().ok()
}

/// The acceptance rate of steps, in percent, that the review predicts for the pending threshold.
fn predicted(screen: &str) -> Option<f64> {
    let after = screen.lines().find(|line| line.contains(" accepted ") && line.contains("->"))?.split("->").nth(1)?;
    after.trim().split([' ', '%']).next()?.parse().ok()
}

#[test]
fn the_shown_acceptance_rate_becomes_the_predicted_one() {
    let site = OperatorSite::start(0.0);
    for worker in 0..3 {
        let questions: Vec<_> = (0..100).map(|n| site.question(1000 * worker + n)).collect();
        let client = site.client.clone();
        site.runtime.spawn(async move {
            for (url, body) in questions.iter().cycle() {
                // At the end of the test the server stops before its clients.
                let Ok(answer) = client.post(url).json(body).send().await else { return };
                assert_eq!(answer.status(), 200);
                let _ = answer.bytes().await;
            }
        });
    }
    let window = WINDOW.to_string();
    let mut pty = PseudoTerminal::open(site.home.path(), &programs::shell(&["rsd-console", "--window", &window]));
    pty.wait("LIVE  delta 0.00  rev 1");
    pty.wait_for("shows that everything is accepted", |text| shown(text) == Some(100.0));
    let began = Instant::now();
    let preview = loop {
        let preview = site.preview();
        if preview.basis.steps >= 400 {
            break preview;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "too few steps: {:?}", preview.basis);
        std::thread::sleep(Duration::from_millis(200));
    };

    // The threshold at which a third of the steps is predicted to be accepted.
    let third = |a: f64| (a - 0.33).abs();
    let point = preview.curve.iter().min_by(|a, b| third(a.acceptance.value).total_cmp(&third(b.acceptance.value)));
    let point = point.unwrap();
    println!("{:?}; at {} {:?}", preview.basis, point.delta, point.acceptance);
    assert!((0.1..0.6).contains(&point.acceptance.value), "these rewards have no spread: {point:?}");
    pty.press(&format!("d{}\r", point.delta));
    pty.wait("predicted from");
    let expected = predicted(&pty.text()).unwrap_or_else(|| panic!("no prediction:\n{}", pty.text()));
    assert!((expected - 100.0 * point.acceptance.value).abs() < 10.0, "{expected} is not {point:?}");
    pty.press("l\r");
    pty.wait("rev 2");

    // Once the earlier decisions have left the window, the figure covers only the new threshold.
    std::thread::sleep(Duration::from_secs(WINDOW + 2));
    pty.wait_for("shows what was predicted", |text| {
        shown(text).is_some_and(|accepted| (accepted - expected).abs() <= TOLERANCE)
    });
    println!("predicted {expected} %, shown {:?} %", shown(&pty.text()));

    let report = programs::command(&["rsd-console", "--once", "--output", "json"])
        .env("XDG_RUNTIME_DIR", site.home.path())
        .env("HOME", site.home.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&report.stdout);
    let json = text.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{report:?}"));
    let report: serde_json::Value = serde_json::from_str(json).unwrap();
    let server = &report["servers"][0];
    assert_eq!((&server["connection"], &server["revision"]), (&"live".into(), &2.into()), "{server}");
    assert_eq!(server["delta"].as_f64(), Some(point.delta), "{server}");
    assert!(server["metrics"]["step_acceptance"].as_f64().is_some_and(|accepted| accepted < 1.0), "{server}");
}
