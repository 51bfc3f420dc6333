//! From the file and the environment to typed sections.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use alina_proto::Service;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Check, Common, ConfigError, Section, common::Shared};

/// The environment's overrides begin with this.
const PREFIX: &str = "ALINA__";

/// config.yaml with the environment's overrides, not yet typed.
#[derive(Debug, Clone)]
pub struct Raw {
    file: PathBuf,
    root: Map<String, Value>,
}

/// A service's configuration, typed and checked.
#[derive(Debug)]
pub struct Loaded<S> {
    /// The shared sections.
    pub common: Common,
    /// The service's own.
    pub section: S,
}

impl Raw {
    /// Reads `file` and applies those of `environment` that begin with `ALINA__`.
    ///
    /// # Errors
    /// When the file cannot be read, is no YAML mapping, or has a top-level key that is none.
    pub fn read(
        file: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| ConfigError::one(file, "", format!("cannot be read: {error}")))?;
        Self::parse(file, &text, environment)
    }

    fn parse(
        file: &Path,
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let value: Value = serde_saphyr::from_str(text)
            .map_err(|error| ConfigError::one(file, "", format!("is no valid YAML: {error}")))?;
        let Value::Object(mut root) = value else {
            return Err(ConfigError::one(file, "", "must be a mapping of sections"));
        };
        // Sorted, so that a whole section comes before the keys in it.
        for (name, text) in environment.into_iter().collect::<BTreeMap<_, _>>() {
            if let Some(path) = name.strip_prefix(PREFIX) {
                let path = path.to_lowercase();
                let value = serde_saphyr::from_str(&text).unwrap_or(Value::String(text));
                set(&mut root, &path, value).map_err(|message| {
                    ConfigError::one(file, "", format!("environment variable {name} {message}"))
                })?;
            }
        }
        Ok(Self { file: file.to_owned(), root })
    }

    /// The shared sections, typed and checked.
    ///
    /// # Errors
    /// Everything wrong with them.
    pub fn common(&self) -> Result<Common, ConfigError> {
        let mut shared = self.root.clone();
        for service in Service::ALL {
            shared.remove(service.key());
        }
        let shared: Shared = typed(&self.file, "", Value::Object(shared))?;
        let common = Common::new(shared, &self.file);
        let mut check = Check::new();
        common.check(&mut check);
        self.finish(check)?;
        Ok(common)
    }

    /// A service's whole configuration, typed and checked.
    ///
    /// # Errors
    /// Everything wrong with it.
    pub fn load<S: Section>(&self, service: Service) -> Result<Loaded<S>, ConfigError> {
        let common = self.common()?;
        let key = service.key();
        let value = match self.root.get(key) {
            None | Some(Value::Null) => Value::Object(Map::new()),
            Some(value) => value.clone(),
        };
        let section: S = typed(&self.file, key, value)?;
        let mut check = Check::within(key);
        section.check(&mut check);
        self.finish(check)?;
        Ok(Loaded { common, section })
    }

    fn finish(&self, check: Check) -> Result<(), ConfigError> {
        match check.into_problems() {
            problems if problems.is_empty() => Ok(()),
            problems => Err(ConfigError { file: self.file.clone(), problems }),
        }
    }
}

/// Sets the value at `path`, its parts joined by `__`; makes mappings on the way.
fn set(root: &mut Map<String, Value>, path: &str, value: Value) -> Result<(), String> {
    let Some((key, rest)) = path.split_once("__") else {
        root.insert(path.to_owned(), value);
        return Ok(());
    };
    match root.entry(key).or_insert_with(|| Value::Object(Map::new())) {
        Value::Object(inner) => set(inner, rest, value),
        slot @ Value::Null => {
            *slot = Value::Object(Map::new());
            set(root, path, value)
        }
        _ => Err(format!("goes through `{key}`, which is no mapping")),
    }
}

fn typed<T: DeserializeOwned>(file: &Path, prefix: &str, value: Value) -> Result<T, ConfigError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let inner = error.path().to_string();
        let path = match (prefix, inner.as_str()) {
            (prefix, "." | "") => prefix.to_owned(),
            ("", inner) => inner.to_owned(),
            (prefix, inner) => format!("{prefix}.{inner}"),
        };
        ConfigError::one(file, path, error.into_inner().to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
    #[serde(deny_unknown_fields, default)]
    struct Cache {
        seconds: u32,
        names: Vec<String>,
    }

    impl Default for Cache {
        fn default() -> Self {
            Self { seconds: 60, names: Vec::new() }
        }
    }

    impl Section for Cache {
        fn check(&self, check: &mut Check) {
            check.that(self.seconds > 0, "seconds", "must be over 0");
        }
    }

    const REPOSITORYS: &str = include_str!("../../../../config.yaml");

    fn load(section: &str, environment: &[(&str, &str)]) -> Result<Loaded<Cache>, ConfigError> {
        let shared = REPOSITORYS.split("\nmemory:").next().unwrap();
        let text = format!("{shared}\nmemory: {section}\n");
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Raw::parse(Path::new("/etc/alina/config.yaml"), &text, environment)?.load(Service::Memory)
    }

    fn problem(section: &str, environment: &[(&str, &str)]) -> String {
        load(section, environment).unwrap_err().problems[0].to_string()
    }

    #[test]
    fn the_repositorys_file_is_valid_and_absent_keys_take_defaults() {
        let loaded = load("{}", &[]).unwrap();
        assert_eq!(loaded.section.seconds, 60);
        assert_eq!(loaded.common.machine.parallel_agents, 4);
        assert_eq!(loaded.common.path("a/b"), Path::new("/etc/alina/a/b"));
        assert!(load("~", &[]).is_ok(), "an empty section");
    }

    #[test]
    fn the_environment_wins() {
        let loaded = load(
            "{ seconds: 5 }",
            &[
                ("ALINA__MEMORY__SECONDS", "7"),
                ("ALINA__MEMORY__NAMES", "[a, b]"),
                ("ALINA__SERVICES__MEMORY__URL", "http://memory:7603"),
                ("UNRELATED", "x"),
            ],
        )
        .unwrap();
        assert_eq!(loaded.section.seconds, 7);
        assert_eq!(loaded.section.names, ["a", "b"]);
        assert_eq!(loaded.common.endpoint(Service::Memory).url, "http://memory:7603");
    }

    #[test]
    fn problems_name_the_path_and_what_is_allowed() {
        assert_eq!(problem("{ seconds: 0 }", &[]), "memory.seconds: must be over 0");
        let typo = problem("{ second: 1 }", &[]);
        assert!(typo.starts_with("memory.second: unknown field `second`, expected"), "{typo}");
        let kind = problem("{ names: [1] }", &[]);
        assert!(kind.starts_with("memory.names[0]: invalid type"), "{kind}");
        let number = problem("{}", &[("ALINA__MACHINE__CPUS", "0")]);
        assert_eq!(number, "machine.cpus: must be 1 to 1024");
        let clash = problem("{}", &[("ALINA__SERVICES__MEMORY__LISTEN", "127.0.0.1:7601")]);
        assert!(clash.contains("is taken by services.orchestrator.listen"), "{clash}");
        let key = problem("{}", &[("ALINA__NONSENSE", "1")]);
        assert!(key.contains("unknown field `nonsense`"), "{key}");
        let through =
            problem("{}", &[("ALINA__MEMORY__SECONDS__X", "1"), ("ALINA__MEMORY__SECONDS", "1")]);
        assert!(through.contains("goes through `seconds`, which is no mapping"), "{through}");
    }

    #[test]
    fn what_is_no_yaml_is_refused() {
        for text in ["a: [", "just text", "- a\n- b"] {
            assert!(Raw::parse(Path::new("x"), text, []).is_err(), "{text}");
        }
    }
}
