//! The services' real programs, with the repository's config.yaml on ports of their own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use alina_client::{Connector, Endpoints};
use alina_proto::Service;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    Database, TestRedis, cluster, cluster::OwnPostgres, free_port, models, postgres, redis,
    repository,
};

const HEALTHY_WITHIN: Duration = Duration::from_secs(90);

/// What a suite is made of.
#[derive(Debug, Default)]
pub struct SuiteBuilder {
    services: BTreeSet<Service>,
    settings: Vec<(String, Value)>,
    urls: BTreeMap<Service, String>,
    own_postgres: bool,
    kept: Option<PathBuf>,
    archiving: bool,
}

impl SuiteBuilder {
    /// Starts this service, too.
    #[must_use]
    pub fn service(mut self, service: Service) -> Self {
        self.services.insert(service);
        self
    }

    /// Starts all six.
    #[must_use]
    pub fn all_services(mut self) -> Self {
        self.services.extend(Service::ALL);
        self
    }

    /// Lets the services reach `service` at `url`: a fake of the test's own.
    #[must_use]
    pub fn at(mut self, service: Service, url: impl Into<String>) -> Self {
        self.urls.insert(service, url.into());
        self
    }

    /// Sets a value of config.yaml, for example `memory.cache_seconds`.
    #[must_use]
    pub fn set(mut self, path: &str, value: Value) -> Self {
        self.settings.push((path.to_owned(), value));
        self
    }

    /// Gives the suite a PostgreSQL process of its own, that the test may kill.
    #[must_use]
    pub fn own_postgres(mut self) -> Self {
        self.own_postgres = true;
        self
    }

    /// As [`Self::own_postgres`], with its data in `folder`, which stays: what takes long to fill need
    /// not be filled again.
    #[must_use]
    pub fn kept_postgres(mut self, folder: PathBuf) -> Self {
        self.own_postgres = true;
        self.kept = Some(folder);
        self
    }

    /// As [`SuiteBuilder::own_postgres`], with an archive of its log: `own-postgres/archive` in
    /// [`Suite::dir`], beside its data in `own-postgres/postgres`.
    #[must_use]
    pub fn archiving_postgres(mut self) -> Self {
        self.archiving = true;
        self.own_postgres()
    }

    /// Starts it all and waits until every service is healthy.
    ///
    /// # Panics
    /// When one does not get healthy; the message has the end of its log.
    pub async fn start(self) -> Suite {
        let folder = TempDir::new().expect("the temporary folder is writable");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(folder.path(), open).expect("own folder");
        let kept = self.kept.clone();
        let own = if self.own_postgres {
            Some(cluster::own(folder.path(), kept, self.archiving).await)
        } else {
            None
        };
        let database = match &own {
            Some(own) => Database::at(format!("{}/alina", own.server)),
            None => postgres().await,
        };
        let redis =
            if self.services.contains(&Service::Memory) { Some(redis().await) } else { None };
        let mut suite = Suite {
            config: folder.path().join("config.yaml"),
            urls: BTreeMap::new(),
            metrics: BTreeMap::new(),
            http: String::new(),
            children: BTreeMap::new(),
            database,
            redis,
            own,
            folder,
        };
        suite.configure(&self);
        for service in &self.services {
            suite.spawn(*service);
        }
        for service in &self.services {
            suite.wait_until_healthy(*service).await;
        }
        suite
    }
}

/// Running services; they are killed when this is dropped.
#[derive(Debug)]
pub struct Suite {
    config: PathBuf,
    urls: BTreeMap<Service, String>,
    metrics: BTreeMap<Service, String>,
    http: String,
    children: BTreeMap<Service, Child>,
    database: Database,
    redis: Option<TestRedis>,
    own: Option<OwnPostgres>,
    // Last, so that it outlives the processes that write to it.
    folder: TempDir,
}

impl Suite {
    /// Nothing yet.
    #[must_use]
    pub fn builder() -> SuiteBuilder {
        SuiteBuilder::default()
    }

    /// Clients to its services.
    ///
    /// # Panics
    /// Never: the addresses were made here.
    #[must_use]
    pub fn connector(&self) -> Connector {
        let urls = self.urls.iter().map(|(service, url)| (*service, url.clone()));
        Connector::new(&Endpoints::new(urls).expect("valid addresses"), None)
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self, service: Service) -> &str {
        &self.urls[&service]
    }

    /// `http://127.0.0.1:PORT/metrics`.
    #[must_use]
    pub fn metrics_url(&self, service: Service) -> String {
        format!("http://{}/metrics", self.metrics[&service])
    }

    /// `http://127.0.0.1:PORT`, where the inference gateway speaks as OpenAI and Ollama do.
    #[must_use]
    pub fn http_url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Its database.
    #[must_use]
    pub fn db(&self) -> &Database {
        &self.database
    }

    /// Its Redis, when memory is among its services.
    pub fn redis(&mut self) -> Option<&mut TestRedis> {
        self.redis.as_mut()
    }

    /// Its folder: config.yaml and a log for each service.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// Its configuration file.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// What a service has logged so far.
    #[must_use]
    pub fn log(&self, service: Service) -> String {
        fs::read_to_string(self.log_path(service)).unwrap_or_default()
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// When the service is not running.
    pub async fn kill(&mut self, service: Service) {
        let child = self.children.get_mut(&service).expect("the service was started");
        child.kill().await.expect("the service was running");
    }

    /// Asks a service to stop, and does not wait for it.
    ///
    /// # Panics
    /// When the service is not running.
    pub async fn terminate(&mut self, service: Service) {
        let child = self.children.get(&service).expect("the service was started");
        let pid = child.id().expect("the service is running").to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(told.is_ok_and(|status| status.success()), "{service} runs");
    }

    /// Starts a killed service again, or one that was not started yet, and waits until it is
    /// healthy.
    ///
    /// # Panics
    /// When it does not get healthy.
    pub async fn restart(&mut self, service: Service) {
        self.spawn(service);
        self.wait_until_healthy(service).await;
    }

    /// `kill -9` of the suite's own PostgreSQL.
    ///
    /// # Panics
    /// When it has none.
    pub async fn kill_postgres(&mut self) {
        let own = self.own.as_mut().expect("own_postgres() was asked for");
        own.kill().await;
    }

    /// `kill -9` of the suite's own PostgreSQL and all its children at once.
    ///
    /// # Panics
    /// When it has none.
    pub async fn kill_postgres_with_children(&mut self) {
        let own = self.own.as_mut().expect("own_postgres() was asked for");
        own.kill_with_children().await;
    }

    /// Starts it again.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn restart_postgres(&mut self) {
        let own = self.own.as_mut().expect("own_postgres() was asked for");
        own.restart().await;
    }

    /// Writes config.yaml: the repository's, with addresses of the suite's own.
    fn configure(&mut self, builder: &SuiteBuilder) {
        let text = fs::read_to_string(repository().join("config.yaml")).expect("config.yaml");
        let mut root: Value = serde_saphyr::from_str(&text).expect("config.yaml is valid");
        for service in Service::ALL {
            let (listen, metrics) = (free_port(), free_port());
            let url = builder.urls.get(&service);
            let url = url.cloned().unwrap_or_else(|| format!("http://127.0.0.1:{listen}"));
            let key = format!("services.{}", service.key());
            set(&mut root, &format!("{key}.listen"), json!(format!("127.0.0.1:{listen}")));
            set(&mut root, &format!("{key}.metrics"), json!(format!("127.0.0.1:{metrics}")));
            set(&mut root, &format!("{key}.url"), json!(url));
            self.urls.insert(service, url);
            self.metrics.insert(service, format!("127.0.0.1:{metrics}"));
        }
        self.http = format!("127.0.0.1:{}", free_port());
        set(&mut root, "inference_gateway.http.listen", json!(self.http));
        set(&mut root, "postgres.url", json!(self.database.url()));
        set(&mut root, "postgres.password_file", json!(null));
        set(&mut root, "telemetry.log", json!("debug,h2=info,hyper=info,sqlx=info,tower=info"));
        set(&mut root, "inference_gateway.model_dir", json!(models()));
        // Suites run side by side: threads that wait for each other at every layer, and spin while
        // they do, cost far more than they bring when CPUs are short.
        set(&mut root, "inference_gateway.threads", json!(1));
        if let Some(redis) = &self.redis {
            set(&mut root, "redis.url", json!(redis.url()));
        }
        for (path, value) in &builder.settings {
            set(&mut root, path, value.clone());
        }
        // JSON is YAML.
        fs::write(&self.config, root.to_string()).expect("the temporary folder is writable");
    }

    fn spawn(&mut self, service: Service) {
        let program = programs().join(service.program());
        let log = File::options().create(true).append(true).open(self.log_path(service));
        let log = log.expect("the temporary folder is writable");
        let mut command = Command::new(&program);
        // Overrides of whoever runs the tests are not the suite's.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ALINA_")) {
            command.env_remove(name);
        }
        let child = command
            .arg("--config")
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn();
        let child = child.unwrap_or_else(|error| {
            panic!("{}: {error}; run cargo build --workspace --bins", program.display())
        });
        self.children.insert(service, child);
    }

    async fn wait_until_healthy(&mut self, service: Service) {
        let begun = Instant::now();
        while !self.is_healthy(service).await {
            let ended = self.children.get_mut(&service).and_then(|child| child.try_wait().ok()?);
            if ended.is_some() || begun.elapsed() > HEALTHY_WITHIN {
                let log = self.log(service);
                let from = log.len().saturating_sub(4_000);
                let from = (from..log.len()).find(|at| log.is_char_boundary(*at)).unwrap_or(0);
                panic!(
                    "{service} did not get healthy ({ended:?}); its log ends:\n{}",
                    &log[from..]
                );
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    async fn is_healthy(&self, service: Service) -> bool {
        let endpoint = tonic_health::pb::health_client::HealthClient::new;
        let connector = self.connector();
        let mut client: HealthClient<_> = endpoint(connector.channel(service));
        let request = HealthCheckRequest { service: service.grpc_name().to_owned() };
        let check = tokio::time::timeout(Duration::from_secs(2), client.check(request)).await;
        matches!(check, Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving)
    }

    fn log_path(&self, service: Service) -> PathBuf {
        self.folder.path().join(format!("{service}.log"))
    }
}

/// The folder with the services' programs: that above the tests' own.
fn programs() -> PathBuf {
    let own = std::env::current_exe().expect("a running test has a path");
    own.ancestors().nth(2).expect("tests are in target/<profile>/deps").to_owned()
}

fn set(root: &mut Value, path: &str, value: Value) {
    let mut slot = root;
    for key in path.split('.') {
        if slot.is_null() {
            *slot = json!({});
        }
        slot = slot
            .as_object_mut()
            .unwrap_or_else(|| panic!("config.yaml: `{path}` goes through what is no mapping"))
            .entry(key)
            .or_insert(Value::Null);
    }
    *slot = value;
}
