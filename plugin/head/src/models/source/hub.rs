//! The Hugging Face hub: the file in the hub's cache on this machine, else a download that resumes.
//!
//! An unreachable hub costs seconds, not minutes, because another source may follow.

use std::{error::Error as _, io::Read, sync::mpsc, thread, time::Duration};

use hf_hub::{Cache, Repo, RepoType, api::sync::ApiBuilder};
use rsd_files::{FileError, FileStamp, digest};

use super::{FetchJob, ModelSource, local};
use crate::models::{error::ModelError, partial_file::PartialFile};

const CONNECT: Duration = Duration::from_secs(4);
/// Until the response's head arrives, name look-up and redirects included: the resolver itself has no timeout.
const FIRST_ANSWER: Duration = Duration::from_secs(15);
const STALLED: Duration = Duration::from_secs(30);
/// A broken download is resumed at most this often, each time only if bytes arrived since.
const RETRIES: u32 = 5;

#[derive(Debug, Clone)]
pub(in crate::models) struct HubSource {
    /// False if `HF_HUB_OFFLINE` forbids the network.
    pub online: bool,
    /// Base address, if not that of the public hub.
    pub endpoint: Option<String>,
    /// The hub's cache on this machine.
    pub cache: Cache,
}

impl ModelSource for HubSource {
    fn name(&self) -> &'static str {
        "Hugging Face hub"
    }

    fn fetch(&self, job: &FetchJob<'_>) -> Result<FileStamp, ModelError> {
        let file = job.model.hub;
        let repo = Repo::with_revision(file.repo.to_owned(), RepoType::Model, file.revision.to_owned());
        if let Some(cached) = self.cache.repo(repo.clone()).get(file.file) {
            match local::import(&cached, job) {
                Ok(stamp) => return Ok(stamp),
                Err(error) => job.progress.note(&format!("not using the file in the hub's cache: {error}")),
            }
        }
        if !self.online {
            return Err(ModelError::Skipped("not tried: HF_HUB_OFFLINE is set".into()));
        }
        let url = self.url(repo, file.file)?;
        job.progress.begin(&format!("{} from the hub", job.model.name), job.model.size);
        let fetched = HubDownload { url: &url, job }.run();
        job.progress.end();
        fetched
    }
}

impl HubSource {
    fn url(&self, repo: Repo, file: &str) -> Result<String, ModelError> {
        let mut builder = ApiBuilder::from_cache(self.cache.clone()).with_progress(false);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        let api = builder.build().map_err(|error| ModelError::Source(error.to_string()))?;
        Ok(api.repo(repo).url(file))
    }
}

struct HubDownload<'a> {
    url: &'a str,
    job: &'a FetchJob<'a>,
}

impl HubDownload<'_> {
    fn run(&self) -> Result<FileStamp, ModelError> {
        let model = self.job.model;
        let part = PartialFile::resume(&self.job.part, model.size)?;
        let resumed = part.len() > 0;
        let done = self.complete(part)?.commit(model, &self.job.target, self.url);
        match done {
            // The bytes that an earlier attempt left may have been damaged, so one more attempt begins without them.
            Err(ModelError::WrongHash { .. }) if resumed => {
                self.job.progress.note("the part left by an earlier attempt was damaged; starting over");
                let part = PartialFile::create(&self.job.part)?;
                self.complete(part)?.commit(model, &self.job.target, self.url)
            }
            done => done,
        }
    }

    /// Fetches what `part` lacks. After a failure it remains on disk for the next attempt.
    fn complete(&self, mut part: PartialFile) -> Result<PartialFile, ModelError> {
        let size = self.job.model.size;
        let mut retries = 0;
        while part.len() < size {
            let before = part.len();
            let StreamEnd::Broken(broken) = self.stream(&mut part)? else { continue };
            if part.len() == before || retries == RETRIES {
                return Err(ModelError::Source(format!(
                    "{}: {broken} (at byte {} of {size}; the next attempt resumes there)",
                    self.url,
                    part.len()
                )));
            }
            retries += 1;
        }
        Ok(part)
    }

    /// Sends one request and appends the response's body. An error is final.
    fn stream(&self, part: &mut PartialFile) -> Result<StreamEnd, ModelError> {
        let failed = |reason: String| ModelError::Source(format!("{}: {reason}", self.url));
        let response = open(self.url, part.len()).map_err(failed)?;
        if part.len() > 0 && response.status() != 206 {
            // The server does not support ranges and sends the whole file.
            *part = PartialFile::create(&self.job.part)?;
        }
        let size = self.job.model.size;
        let left = size - part.len();
        if let Some(offered) = response.header("Content-Length").and_then(|text| text.parse::<u64>().ok())
            && offered != left
        {
            return Err(failed(format!(
                "it offers {offered} bytes where {left} are missing; the file there is another one"
            )));
        }
        let mut body = response.into_reader().take(left);
        let mut buffer = vec![0; digest::CHUNK];
        loop {
            match body.read(&mut buffer) {
                Ok(0) if part.len() < size => return Ok(StreamEnd::Broken("the connection closed early".into())),
                Ok(0) => return Ok(StreamEnd::Complete),
                Ok(read) => part.append(&buffer[..read]).map_err(FileError::io("write", &self.job.part))?,
                Err(error) => return Ok(StreamEnd::Broken(error.to_string())),
            }
            self.job.progress.set_position(part.len());
        }
    }
}

/// How the body of one response ended.
enum StreamEnd {
    Complete,
    /// The connection broke, for this reason; another request may resume.
    Broken(String),
}

/// Requests the file from byte `from`. Fails if the head of the response takes too long.
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
        // The receiver is gone once the deadline has passed.
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
mod tests;
