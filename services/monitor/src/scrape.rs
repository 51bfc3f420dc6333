//! Reads the metrics endpoint of a service over HTTP.

use std::time::Duration;

use alina_proto::Service;
use reqwest::Url;

use crate::{error::Error, exposition, status::Reading};

/// The longest answer taken; a service of this suite sends under 100 KiB.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Where a service tells its metrics.
#[derive(Debug, Clone)]
pub struct Target {
    /// Whose.
    pub service: Service,
    address: Url,
}

impl Target {
    /// The host is the one by which others reach the service (`url`), since it may listen on all
    /// addresses; the port is that of `metrics`.
    ///
    /// # Errors
    /// [`Error::Address`] when the two make no address.
    pub fn new(service: Service, url: &str, metrics: &str) -> Result<Self, Error> {
        let address = || {
            let port = metrics.rsplit_once(':')?.1.parse().ok()?;
            let mut address = Url::parse(url).ok()?;
            address.set_port(Some(port)).ok()?;
            address.set_path("/metrics");
            address.set_query(None);
            Some(address)
        };
        let address = address().ok_or_else(|| Error::Address {
            service: service.key(),
            url: url.to_owned(),
            metrics: metrics.to_owned(),
        })?;
        Ok(Self { service, address })
    }
}

/// Reads metrics within a time and a size.
#[derive(Debug, Clone)]
pub struct Scraper {
    http: reqwest::Client,
    timeout: Duration,
}

impl Scraper {
    /// Goes to the services directly: no proxy, no redirects.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn new(timeout: Duration) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(1)
            .build()
            .map_err(|error| Error::Unreachable(innermost(&error)))?;
        Ok(Self { http, timeout })
    }

    /// Reads the metrics of one service.
    ///
    /// # Errors
    /// When it does not answer in time, or not with metrics.
    pub async fn read(&self, target: &Target) -> Result<Reading, Error> {
        let text = tokio::time::timeout(self.timeout, self.fetch(target))
            .await
            .map_err(|_| Error::Slow(self.timeout))??;
        Ok(Reading::new(&exposition::parse(&text)?))
    }

    async fn fetch(&self, target: &Target) -> Result<String, Error> {
        let unreachable = |error: reqwest::Error| Error::Unreachable(innermost(&error));
        let mut answer = self.http.get(target.address.clone()).send().await.map_err(unreachable)?;
        if !answer.status().is_success() {
            return Err(Error::HttpStatus(answer.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(Error::TooLong(MAX_BYTES));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

/// The cause that tells people most: `Connection refused`, not `error sending request`.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_comes_from_the_url_and_the_port_from_the_metrics() {
        let target = |url, metrics| Target::new(Service::Memory, url, metrics);
        for (url, metrics, address) in [
            ("http://127.0.0.1:7603", "127.0.0.1:7613", "http://127.0.0.1:7613/metrics"),
            ("http://memory:7603", "0.0.0.0:7613", "http://memory:7613/metrics"),
            ("http://[::1]:7603/", "[::]:7613", "http://[::1]:7613/metrics"),
        ] {
            assert_eq!(target(url, metrics).unwrap().address.as_str(), address);
        }
        let error = target("memory", "0.0.0.0:7613").unwrap_err().to_string();
        assert!(error.starts_with("services.memory: "), "{error}");
        assert!(target("http://memory:7603", "7613").is_err());
    }
}
