//! LiteLLM's proxy before the same upstream: the lean way its manual recommends for production.

use std::{ffi::OsString, path::Path, process::Stdio, time::Duration};

use serde_json::json;
use tokio::process::{Child, Command};

/// Starts it with one worker, pinned to `core`. Returns its address, with `/v1`.
pub(crate) async fn start(
    program: OsString,
    core: &str,
    folder: &Path,
    upstream: &str,
) -> (Child, String) {
    let config = folder.join("litellm.yaml");
    // JSON is YAML.
    let text = json!({
        "model_list": [{
            "model_name": "instant",
            "litellm_params": { "model": "openai/instant", "api_base": upstream, "api_key": "none" },
        }],
        "litellm_settings": { "set_verbose": false, "num_retries": 0, "request_timeout": 60 },
        "general_settings": { "disable_spend_logs": true },
    });
    std::fs::write(&config, text.to_string()).expect("its configuration");
    let port = alina_testkit::free_port().to_string();
    let child = Command::new("taskset")
        .args(["-c", core])
        .arg(program)
        .args(["--host", "127.0.0.1", "--port", &port, "--num_workers", "1", "--config"])
        .arg(config)
        .envs([
            ("LITELLM_MODE", "PRODUCTION"),
            ("LITELLM_LOG", "ERROR"),
            ("LITELLM_TELEMETRY", "False"),
            ("LITELLM_LOCAL_MODEL_COST_MAP", "True"),
            ("NO_DOCS", "True"),
            // Neither it nor the gateway asks for keys here.
            ("LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY", "true"),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("LiteLLM starts");
    let url = format!("http://127.0.0.1:{port}");
    for _ in 0..1_200 {
        let health = reqwest::get(format!("{url}/health/liveliness")).await;
        if health.is_ok_and(|health| health.status().is_success()) {
            return (child, format!("{url}/v1"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("LiteLLM does not answer within two minutes");
}
