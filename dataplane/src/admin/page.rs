//! Which page a request means, by port, method and path. Pure.

use http::{Method, StatusCode};

/// One of the supervisor's three HTTP ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// 15000, loopback: everything.
    Admin,
    /// 15020: health checks, and metrics.
    Status,
    /// 15090: metrics.
    Metrics,
}

/// One page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// The list of pages.
    Index,
    /// Workers as JSON.
    Workers,
    /// Listeners as JSON.
    Listeners,
    /// Clusters with their endpoints.
    Clusters,
    /// Figures as `name: value` lines.
    Stats,
    /// Figures in exposition format.
    Prometheus,
    /// Build, state, uptime.
    ServerInfo,
    /// The state in one word, as the reference's proxy says it.
    State,
    /// Readiness, with the reason.
    Ready,
    /// Liveness: the admin thread and the loop answer.
    Live,
    /// End as on `SIGTERM`.
    Quit,
    /// Stop accepting, finish what runs, stay.
    DrainListeners,
}

/// Path, page, and whether it wants `POST`.
type Entry = (&'static str, Page, bool);

const ADMIN: &[Entry] = &[
    ("/", Page::Index, false),
    ("/clusters", Page::Clusters, false),
    ("/drain_listeners", Page::DrainListeners, true),
    ("/listeners", Page::Listeners, false),
    ("/quitquitquit", Page::Quit, true),
    ("/ready", Page::State, false),
    ("/server_info", Page::ServerInfo, false),
    ("/stats", Page::Stats, false),
    ("/stats/prometheus", Page::Prometheus, false),
    ("/workers", Page::Workers, false),
];
const STATUS: &[Entry] = &[
    ("/healthz/live", Page::Live, false),
    ("/healthz/ready", Page::Ready, false),
    ("/stats/prometheus", Page::Prometheus, false),
];
const METRICS: &[Entry] =
    &[("/metrics", Page::Prometheus, false), ("/stats/prometheus", Page::Prometheus, false)];

impl Door {
    fn entries(self) -> &'static [Entry] {
        match self {
            Self::Admin => ADMIN,
            Self::Status => STATUS,
            Self::Metrics => METRICS,
        }
    }

    /// The page behind a path. `HEAD` is allowed where `GET` is.
    ///
    /// # Errors
    /// 404 for an unknown path, 405 with the allowed method for a known one.
    pub fn page(
        self,
        method: &Method,
        path: &str,
    ) -> Result<Page, (StatusCode, Option<&'static str>)> {
        let entry = self.entries().iter().find(|(known, ..)| *known == path);
        let Some((_, page, wants_post)) = entry else { return Err((StatusCode::NOT_FOUND, None)) };
        let is_allowed = if *wants_post {
            method == Method::POST
        } else {
            matches!(*method, Method::GET | Method::HEAD)
        };
        let allow = if *wants_post { "POST" } else { "GET, HEAD" };
        if is_allowed { Ok(*page) } else { Err((StatusCode::METHOD_NOT_ALLOWED, Some(allow))) }
    }

    /// One line per page: method and path.
    pub fn index(self) -> String {
        let line = |(path, _, wants_post): &Entry| {
            format!("{} {path}\n", if *wants_post { "POST" } else { "GET" })
        };
        self.entries().iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_has_its_pages_and_methods() {
        let missing = Err((StatusCode::NOT_FOUND, None));
        let refused = |allow| Err((StatusCode::METHOD_NOT_ALLOWED, Some(allow)));
        for (door, method, path, expected) in [
            (Door::Admin, Method::GET, "/", Ok(Page::Index)),
            (Door::Admin, Method::HEAD, "/workers", Ok(Page::Workers)),
            (Door::Admin, Method::POST, "/workers", refused("GET, HEAD")),
            (Door::Admin, Method::POST, "/quitquitquit", Ok(Page::Quit)),
            (Door::Admin, Method::GET, "/quitquitquit", refused("POST")),
            (Door::Admin, Method::GET, "/drain_listeners", refused("POST")),
            (Door::Admin, Method::GET, "/healthz/ready", missing),
            (Door::Status, Method::GET, "/healthz/ready", Ok(Page::Ready)),
            (Door::Status, Method::GET, "/healthz/live", Ok(Page::Live)),
            (Door::Status, Method::GET, "/stats/prometheus", Ok(Page::Prometheus)),
            (Door::Status, Method::POST, "/quitquitquit", missing),
            (Door::Metrics, Method::GET, "/metrics", Ok(Page::Prometheus)),
            (Door::Metrics, Method::GET, "/stats/prometheus", Ok(Page::Prometheus)),
            (Door::Metrics, Method::GET, "/", missing),
        ] {
            assert_eq!(door.page(&method, path), expected, "{method} {path} on {door:?}");
        }
    }

    #[test]
    fn the_index_names_every_page() {
        assert!(Door::Admin.index().contains("POST /quitquitquit\nGET /ready\n"));
    }
}
