//! What systemd is told: the test binds the socket that systemd gives to a service with `Type=notify`.

use std::{
    os::unix::net::UnixDatagram,
    time::{Duration, Instant},
};

use rsd_tests::operator_site::OperatorSite;

#[test]
fn systemd_is_told_when_the_server_is_ready_that_it_lives_and_that_it_stops() {
    let mut site = OperatorSite::prepare(|_| {});
    let path = site.home.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let next = || {
        let mut message = [0; 4096];
        let length = socket.recv(&mut message).expect("systemd is told nothing");
        String::from_utf8(message[..length].to_vec()).unwrap()
    };
    site.environment = vec![("NOTIFY_SOCKET", path.clone().into()), ("WATCHDOG_USEC", "200000".into())];
    site.launch();

    // The watchdog may be answered first: both happen in the same moment.
    let began = Instant::now();
    let ready = loop {
        let message = next();
        if message.contains("READY=1") {
            break message;
        }
        assert_eq!(message.trim(), "WATCHDOG=1");
        assert!(began.elapsed() < Duration::from_secs(120), "{}", site.log());
    };
    assert!(ready.contains("STATUS=answers as model `rsd`"), "{ready}");
    site.until_ready(None);
    for _ in 0..3 {
        assert_eq!(next().trim(), "WATCHDOG=1");
    }

    site.signal("TERM");
    while !next().contains("STOPPING=1") {}
    assert!(site.exit_within(Duration::from_secs(40)).is_some_and(|status| status.success()), "{}", site.log());
}
