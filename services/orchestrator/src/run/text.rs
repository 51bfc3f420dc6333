//! Enumerations that are stored as text.

/// Text in the store that stands for nothing this version knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not known here; was it written by a newer version?")]
pub(crate) struct UnknownText(pub(crate) String);

/// Declares an enumeration with the text each variant is stored as.
macro_rules! stored_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$note:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum $name { $($(#[$note])* $variant,)+ }

        impl $name {
            /// The text it is stored as.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::run::UnknownText;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    other => Err($crate::run::UnknownText(other.to_owned())),
                }
            }
        }
    };
}

pub(crate) use stored_enum;
