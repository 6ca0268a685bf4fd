//! Questions about one job: what Nomad tells of it, its tasks' last words, and whether what it serves answers.
//! May not judge: `standing` and the phase do.

use anymetal_contract::plan::{Answers, Job, Tls};

use super::standing::{Told, current, telling_task};
use crate::api::Api;
use crate::facts::Facts;
use crate::sys::http::{Certificates, Http, Limits, Question};

/// How much of a task's log is read from its end, in bytes, and how many of its lines are told.
const TAIL: u64 = 8192;
const TOLD: usize = 10;
/// The longest answer of a health check.
const MOST: u64 = 64 * 1024;

/// The path of a question about a job, in its namespace.
pub(super) fn path(job: &Job, rest: &str) -> String {
    format!("/v1/job/{}{rest}?namespace={}", job.name, job.namespace)
}

/// All that Nomad tells of one version.
pub(super) fn told(api: &Api<'_>, job: &Job, version: u64) -> anyhow::Result<Told> {
    Ok(Told {
        version,
        deployment: api.get(&path(job, "/deployment"))?.json()?,
        allocations: api.get(&path(job, "/allocations"))?.json()?,
        evaluations: api.get(&path(job, "/evaluations"))?.json()?,
    })
}

/// The last lines of the task that tells most; none when there is no task, or nothing was said.
pub(super) fn last_lines(api: &Api<'_>, job: &Job, told: &Told) -> String {
    let Some((allocation, task)) = current(told).and_then(|allocation| Some((allocation, telling_task(allocation)?)))
    else {
        return String::new();
    };
    // What went wrong is on stderr as a rule; some programs say everything on stdout.
    for stream in ["stderr", "stdout"] {
        let id = &allocation.id;
        let path = format!(
            "/v1/client/fs/logs/{id}?task={task}&type={stream}&plain=true&origin=end&offset={TAIL}&namespace={}",
            job.namespace
        );
        let said = api.get(&path).ok().filter(crate::api::Reply::is_good).map(|reply| reply.text).unwrap_or_default();
        let mut lines: Vec<&str> = said.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        // A task that ends at once says the same at every start.
        lines.dedup();
        if !lines.is_empty() {
            return lines[lines.len().saturating_sub(TOLD)..].join("\n");
        }
    }
    String::new()
}

/// What must answer and does not, in words; `None` when all of it does.
pub(super) fn unanswered(job: &Job, facts: &Facts) -> Option<String> {
    let http = Http::new(Limits::QUESTION, Certificates::Ignored);
    job.answers
        .iter()
        .flat_map(|answers| calls(answers, facts.domains(), facts.tls()))
        .find_map(|call| call.fails(&http))
}

/// One request to this node.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    url: String,
    /// The name it is asked under.
    host: Option<String>,
}

/// With certificates, plain HTTP only redirects; this node's own certificate is not checked, since the name is asked of this node and no other.
fn calls(answers: &Answers, domains: &[String], tls: &Tls) -> Vec<Call> {
    let scheme = if *tls == Tls::None { "http" } else { "https" };
    match answers {
        Answers::Url(url) => vec![Call { url: url.clone(), host: None }],
        Answers::Name { label, path } => domains
            .iter()
            .map(|domain| Call { url: format!("{scheme}://127.0.0.1{path}"), host: Some(format!("{label}.{domain}")) })
            .collect(),
    }
}

impl Call {
    fn fails(&self, http: &Http) -> Option<String> {
        let headers: Vec<_> = self.host.iter().map(|host| ("host", host.as_str())).collect();
        let shown = match &self.host {
            Some(host) => self.url.replace("127.0.0.1", host),
            None => self.url.clone(),
        };
        match http.ask(&Question { method: "GET", url: &self.url, headers: &headers, body: None }, MOST) {
            Ok(answered) if answered.status == 200 => None,
            Ok(answered) => {
                let body = String::from_utf8_lossy(&answered.body);
                let words: String = body.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect();
                Some(format!("{shown} answers {}{}{words}", answered.status, if words.is_empty() { "" } else { ", " }))
            }
            Err(error) => Some(format!("{shown}: {error:#}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_asked_of_this_node_under_each_domain() {
        let domains = ["example.org".to_owned(), "n1.example.org".to_owned()];
        let name = Answers::Name { label: "hippo".into(), path: "/healthz".into() };
        let call =
            |scheme: &str, host: &str| Call { url: format!("{scheme}://127.0.0.1/healthz"), host: Some(host.into()) };
        assert_eq!(
            calls(&name, &domains, &Tls::None),
            [call("http", "hippo.example.org"), call("http", "hippo.n1.example.org")]
        );
        let files = Tls::Files { certificate: "/c".into(), key: "/k".into() };
        assert_eq!(calls(&name, &domains, &files)[0], call("https", "hippo.example.org"));
        let url = Answers::Url("http://127.0.0.1:8081/ping".into());
        assert_eq!(calls(&url, &domains, &files), [Call { url: "http://127.0.0.1:8081/ping".into(), host: None }]);
    }
}
