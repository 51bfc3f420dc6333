//! Functions that a model may call.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One that may be called.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tool {
    /// 1 to 64 letters, digits, `_` or `-`.
    pub name: String,
    /// For the model.
    pub description: String,
    /// A JSON schema of an object.
    pub parameters: Value,
}

/// All that may be called; at least one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tools {
    /// Names are unique.
    pub tools: Vec<Tool>,
    /// Whether they are called.
    pub choice: ToolChoice,
}

/// Whether tools are called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum ToolChoice {
    /// As the model decides.
    Auto,
    /// The model sees them but calls none.
    None,
    /// At least one.
    Required,
    /// This one.
    Named(String),
}

/// A call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Unique within the conversation.
    pub id: String,
    /// Which tool.
    pub name: String,
    /// A JSON object.
    pub arguments: String,
}
