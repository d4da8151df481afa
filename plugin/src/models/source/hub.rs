//! The Hugging Face hub: what its own cache on this machine has, else a download that resumes.
//!
//! An unreachable hub costs seconds, not minutes, since another source may follow.

use std::error::Error as _;
use std::io::Read;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Cache, Repo, RepoType};

use super::{Job, Source, local};
use crate::models::digest;
use crate::models::error::ModelError;
use crate::models::part::Part;
use crate::models::stamp::Stamp;

const CONNECT: Duration = Duration::from_secs(4);
/// For the answer's head, name look-up and redirects included: the resolver knows no timeout of its own.
const FIRST_ANSWER: Duration = Duration::from_secs(15);
const STALLED: Duration = Duration::from_secs(30);
/// A connection that breaks is taken up again this often, if bytes came in between.
const RETRIES: u32 = 5;

/// The hub.
#[derive(Debug, Clone)]
pub(in crate::models) struct Hub {
    /// False where `HF_HUB_OFFLINE` forbids the network.
    pub online: bool,
    /// Base address where it is not the public hub or the one in `HF_ENDPOINT`.
    pub endpoint: Option<String>,
    /// The hub's own cache on this machine.
    pub cache: Cache,
}

impl Source for Hub {
    fn name(&self) -> &'static str {
        "Hugging Face hub"
    }

    fn fetch(&self, job: &Job<'_>) -> Result<Stamp, ModelError> {
        let file = job.entry.hub;
        let repo = Repo::with_revision(file.repo.to_owned(), RepoType::Model, file.revision.to_owned());
        if let Some(cached) = self.cache.repo(repo.clone()).get(file.file) {
            match local::import(&cached, job) {
                Ok(stamp) => return Ok(stamp),
                Err(error) => job.progress.note(&format!("the hub's cache is passed over: {error}")),
            }
        }
        if !self.online {
            return Err(ModelError::Skipped("not tried: HF_HUB_OFFLINE is set".into()));
        }
        let url = self.url(repo, file.file)?;
        job.progress.begin(&format!("{} from the hub", job.entry.name), job.entry.size);
        let fetched = Download { url: &url, job }.run();
        job.progress.end();
        fetched
    }
}

impl Hub {
    fn url(&self, repo: Repo, file: &str) -> Result<String, ModelError> {
        let mut builder = ApiBuilder::from_env().with_progress(false);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        let api = builder.build().map_err(|error| ModelError::Source(error.to_string()))?;
        Ok(api.repo(repo).url(file))
    }
}

struct Download<'a> {
    url: &'a str,
    job: &'a Job<'a>,
}

impl Download<'_> {
    fn run(&self) -> Result<Stamp, ModelError> {
        let entry = self.job.entry;
        let part = Part::resume(&self.job.part, entry.size)?;
        let resumed = part.len() > 0;
        let done = self.complete(part)?.commit(entry, &self.job.target, self.url);
        match done {
            // What an earlier attempt left may have been bad; what comes in one piece is the source's own word.
            Err(ModelError::WrongHash { .. }) if resumed => {
                self.job.progress.note("the part left by an earlier attempt was damaged; starting over");
                let part = Part::create(&self.job.part)?;
                self.complete(part)?.commit(entry, &self.job.target, self.url)
            }
            done => done,
        }
    }

    /// Fetches what `part` lacks. A failure leaves it on disk for the next attempt.
    fn complete(&self, mut part: Part) -> Result<Part, ModelError> {
        let size = self.job.entry.size;
        let mut retries = 0;
        while part.len() < size {
            let before = part.len();
            let Err(broken) = self.stream(&mut part)? else { continue };
            if part.len() == before || retries == RETRIES {
                return Err(ModelError::Source(format!(
                    "{}: {broken} (at byte {} of {size}, kept for the next attempt)",
                    self.url,
                    part.len()
                )));
            }
            retries += 1;
        }
        Ok(part)
    }

    /// One request. The outer error is final; the inner one is a break that a further request may mend.
    fn stream(&self, part: &mut Part) -> Result<Result<(), String>, ModelError> {
        let refused = |reason: String| ModelError::Source(format!("{}: {reason}", self.url));
        let response = open(self.url, part.len()).map_err(refused)?;
        if part.len() > 0 && response.status() != 206 {
            // The server does not do ranges and sends the whole file.
            *part = Part::create(&self.job.part)?;
        }
        let size = self.job.entry.size;
        let left = size - part.len();
        if let Some(offered) = response.header("Content-Length").and_then(|text| text.parse::<u64>().ok())
            && offered != left
        {
            return Err(refused(format!(
                "it offers {offered} bytes where {left} are missing; the file there is another one"
            )));
        }
        let mut body = response.into_reader().take(left);
        let mut buffer = vec![0; digest::CHUNK];
        loop {
            match body.read(&mut buffer) {
                Ok(0) if part.len() < size => return Ok(Err("the connection closed early".into())),
                Ok(0) => return Ok(Ok(())),
                Ok(read) => part.append(&buffer[..read]).map_err(ModelError::io("write", &self.job.part))?,
                Err(error) => return Ok(Err(error.to_string())),
            }
            self.job.progress.at(part.len());
        }
    }
}

/// Asks for the file from byte `from`, giving up when the head of the answer takes too long.
fn open(url: &str, from: u64) -> Result<ureq::Response, String> {
    let agent = ureq::AgentBuilder::new()
        .timeout_connect(CONNECT)
        .timeout_read(STALLED)
        .try_proxy_from_env(true)
        .user_agent(concat!("mistralrs-rsd/", env!("CARGO_PKG_VERSION")))
        .build();
    let mut request = agent.get(url).set("Accept-Encoding", "identity");
    if from > 0 {
        request = request.set("Range", &format!("bytes={from}-"));
    }
    let (answer, answered) = mpsc::sync_channel(1);
    thread::spawn(move || {
        // Nobody listens any more once the deadline has passed.
        let _ = answer.send(request.call());
    });
    match answered.recv_timeout(FIRST_ANSWER) {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(ureq::Error::Status(status, response))) => {
            Err(format!("the server answered {status} {}", response.status_text()))
        }
        Ok(Err(ureq::Error::Transport(error))) => {
            let details = [error.message().map(str::to_owned), error.source().map(ToString::to_string)];
            Err(std::iter::once(error.kind().to_string())
                .chain(details.into_iter().flatten())
                .collect::<Vec<_>>()
                .join(": "))
        }
        Err(_) => Err(format!("no answer within {} s", FIRST_ANSWER.as_secs())),
    }
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
