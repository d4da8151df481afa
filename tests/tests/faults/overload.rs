//! Ten times as many clients as the server takes, for a while, and an operator who watches meanwhile.
//!
//! `RSD_OVERLOAD_SECONDS` sets how long (default: 5). Prints how soon requests are refused and the operator is answered.

use std::time::{Duration, Instant};

use reqwest::{Client, Response, StatusCode, header::RETRY_AFTER};
use rsd_protocol::routes;
use rsd_tests::operator_site::OperatorSite;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::campaign::number;

/// Requests that run and wait at most.
const CAPACITY: usize = 8;
/// How long a client waits before it asks again. `Retry-After` says a second or more; these clients do not care.
const IMPATIENCE: Duration = Duration::from_millis(50);

/// What one client met.
#[derive(Debug, Default)]
struct ClientTally {
    answered: usize,
    refused: Vec<Duration>,
    faults: Vec<String>,
}

async fn ask(client: &Client, url: &str, body: &Value, tally: &mut ClientTally) -> reqwest::Result<()> {
    let began = Instant::now();
    let response: Response = client.post(url).json(body).send().await?;
    match response.status() {
        StatusCode::TOO_MANY_REQUESTS => {
            tally.refused.push(began.elapsed());
            if !response.headers().contains_key(RETRY_AFTER) {
                tally.faults.push("429 without Retry-After".to_owned());
            }
        }
        StatusCode::OK => {
            let text = response.text().await?;
            if text.contains("data: [DONE]") && text.contains("\"finish_reason\":\"length\"") {
                tally.answered += 1;
            } else {
                tally.faults.push(text);
            }
        }
        status => tally.faults.push(format!("{status} {}", response.text().await?)),
    }
    Ok(())
}

/// Median, 99th percentile and maximum.
fn spread(mut times: Vec<Duration>) -> [Duration; 3] {
    times.sort();
    [times.len() / 2, times.len() * 99 / 100, times.len() - 1].map(|index| times[index])
}

#[test]
fn ten_times_as_many_clients_as_fit_are_answered_or_told_when_to_come_back() {
    let seconds = number("RSD_OVERLOAD_SECONDS", 5);
    let mut site = OperatorSite::prepare(|deployment| {
        deployment["limits"] = json!({"running": 2, "waiting": (CAPACITY - 2)});
    });
    site.launch();
    site.until_ready(None);
    let end = Instant::now() + Duration::from_secs(seconds);
    let tokens = site.tokens();
    let clients = (0..10 * CAPACITY).map(|number| {
        let (url, mut body) = site.question(number as u64);
        (body["stream"], body["max_tokens"]) = (true.into(), 30.into());
        let client = Client::new();
        async move {
            let mut tally = ClientTally::default();
            while Instant::now() < end {
                if let Err(error) = ask(&client, &url, &body, &mut tally).await {
                    tally.faults.push(format!("{error:?}"));
                }
                sleep(IMPATIENCE).await;
            }
            tally
        }
    });
    let operator = async {
        let mut times = Vec::new();
        while Instant::now() < end {
            let began = Instant::now();
            let url = format!("{}{}", tokens.admin, routes::STATUS);
            let status = site.client.get(url).bearer_auth(&tokens.read_token).send().await.unwrap();
            status.error_for_status().unwrap().bytes().await.unwrap();
            times.push(began.elapsed());
            sleep(Duration::from_millis(100)).await;
        }
        times
    };
    let (tallies, operator) =
        site.runtime.block_on(async { tokio::join!(futures::future::join_all(clients), operator) });
    let answered: usize = tallies.iter().map(|tally| tally.answered).sum();
    let faults: Vec<&String> = tallies.iter().flat_map(|tally| &tally.faults).collect();
    let refused: Vec<Duration> = tallies.iter().flat_map(|tally| tally.refused.iter().copied()).collect();
    assert!(faults.is_empty(), "{} faults, such as {}\n{}", faults.len(), faults[0], site.log());
    assert!(answered > 10 && refused.len() > 10, "{answered} answered, {} refused", refused.len());
    println!("{answered} answered, {} refused in {seconds} s", refused.len());
    println!("median, 99th percentile, maximum: refused after {:?}, operator {:?}", spread(refused), spread(operator));
}
