//! The configuration and the way to the services.

use std::path::{Path, PathBuf};

use alina_client::{Connector, Endpoints, Token};
use alina_proto::{Service, orchestrator::v1::ListAgentsRequest};
use alina_service::Common;
use tonic::Code;

use crate::{arguments::Arguments, failure::Failure, suite::Layout};

/// What every command stands on.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) config: PathBuf,
    pub(crate) layout: Layout,
    token_file: Option<PathBuf>,
}

impl Session {
    pub(crate) fn open(arguments: &Arguments) -> Result<Self, Failure> {
        let config = match &arguments.config {
            Some(config) => std::path::absolute(config)?,
            None => find_upwards()?,
        };
        let folder = config.parent().unwrap_or(Path::new("/"));
        let layout = Layout::new(folder.join(".alina"));
        Ok(Self { layout, config, token_file: arguments.token_file.clone() })
    }

    /// The shared sections of config.yaml.
    pub(crate) fn common(&self) -> Result<Common, Failure> {
        Ok(Common::load(&self.config)?)
    }

    /// Clients, with a token when one is asked for.
    pub(crate) async fn connect(&self) -> Result<Connector, Failure> {
        let common = self.common()?;
        if let Some(file) = &self.token_file {
            return connector(&common, Some(&read_token(file)?));
        }
        let plain = common.connector()?;
        // Containers ask for a token that config.yaml does not know of.
        let containers = self.layout.secrets().join("grpc_tokens");
        if common.security.token_file.is_none() && containers.is_file() {
            let asked = plain.orchestrator().list_agents(ListAgentsRequest {}).await;
            if asked.is_err_and(|status| status.code() == Code::Unauthenticated) {
                return connector(&common, Some(&read_token(&containers)?));
            }
        }
        Ok(plain)
    }
}

fn connector(common: &Common, token: Option<&Token>) -> Result<Connector, Failure> {
    let urls = Service::ALL.map(|service| (service, common.endpoint(service).url.clone()));
    let endpoints = Endpoints::new(urls).map_err(Failure::other)?;
    Ok(Connector::new(&endpoints, token))
}

fn read_token(file: &Path) -> Result<Token, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::other(format!("{}: {error}", file.display())))?;
    let first = text.lines().next().unwrap_or_default().trim();
    Token::new(first)
        .ok_or_else(|| Failure::other(format!("{}: the first line is no token", file.display())))
}

fn find_upwards() -> Result<PathBuf, Failure> {
    let here = std::env::current_dir()?;
    let program = std::env::current_exe().ok();
    // The checkout the program was built in serves from anywhere.
    let built_in = program.iter().flat_map(|program| program.ancestors().skip(1));
    here.ancestors()
        .chain(built_in)
        .map(|folder| folder.join("config.yaml"))
        .find(|file| file.is_file())
        .ok_or_else(|| {
            Failure::configuration("no config.yaml here or above")
                .hint("name one with --config, or ALINA_CONFIG")
        })
}
