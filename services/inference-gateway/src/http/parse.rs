//! Values that requests may write in more than one way. Unlike serde's untagged enumerations these
//! keep the path of what is wrong.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// Text as a string, as null, or as a list of parts of text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole;
        impl<'de> Visitor<'de> for Whole {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of parts of text")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            fn visit_string<E: Error>(self, text: String) -> Result<Text, E> {
                Ok(Text(text))
            }

            fn visit_unit<E: Error>(self) -> Result<Text, E> {
                Ok(Text::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Text, A::Error> {
                let mut whole = String::new();
                while let Some(TextPart(text)) = parts.next_element()? {
                    whole.push_str(&text);
                }
                Ok(Text(whole))
            }
        }
        deserializer.deserialize_any(Whole)
    }
}

/// One part of a text: `{"type": "text", "text": "…"}`.
struct TextPart(String);

impl<'de> Deserialize<'de> for TextPart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Part;
        impl<'de> Visitor<'de> for Part {
            type Value = TextPart;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a part of text")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TextPart, A::Error> {
                let (mut kind, mut text) = (None::<String>, None::<String>);
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "type" => kind = Some(map.next_value()?),
                        "text" => text = Some(map.next_value()?),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                match (kind.as_deref(), text) {
                    (Some("text") | None, Some(text)) => Ok(TextPart(text)),
                    (Some("text"), None) => Err(A::Error::missing_field("text")),
                    _ => Err(A::Error::custom(
                        "must be of type text; images, sounds and files are not supported",
                    )),
                }
            }
        }
        deserializer.deserialize_map(Part)
    }
}

/// A string or a list of strings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct OneOrMany(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Strings;
        impl<'de> Visitor<'de> for Strings {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMany, A::Error> {
                let mut all = Vec::new();
                while let Some(text) = items.next_element()? {
                    all.push(text);
                }
                Ok(OneOrMany(all))
            }
        }
        deserializer.deserialize_any(Strings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{body, fault::Fault};

    #[derive(Debug, Deserialize)]
    struct Of<T> {
        v: T,
    }

    fn parse<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, Fault> {
        body::parse::<Of<T>>(format!(r#"{{"v":{json}}}"#).as_bytes()).map(|of| of.v)
    }

    #[test]
    fn texts_are_read_in_each_form() {
        let text = |json: &str| parse::<Text>(json).map(|text| text.0);
        assert_eq!(text(r#""a""#).unwrap(), "a");
        assert_eq!(text("null").unwrap(), "");
        let parts = r#"[{"type":"text","text":"a"},{"text":"b","type":"text","more":[1]}]"#;
        assert_eq!(text(parts).unwrap(), "ab");
        let image = r#"[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"x"}}]"#;
        let fault = text(image).unwrap_err();
        assert_eq!(fault.field.as_deref(), Some("v[1]"));
        assert!(fault.message.contains("images"), "{}", fault.message);
        assert_eq!(text("7").unwrap_err().field.as_deref(), Some("v"));
    }

    #[test]
    fn one_string_is_a_list_of_one() {
        let strings = |json: &str| parse::<OneOrMany>(json).map(|all| all.0);
        assert_eq!(strings(r#""a""#).unwrap(), ["a"]);
        assert_eq!(strings(r#"["a","b"]"#).unwrap(), ["a", "b"]);
        assert!(strings("[[1,2]]").is_err() && strings("3").is_err());
    }
}
