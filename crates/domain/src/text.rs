//! Text that callers send: keys, comments, names. Bounded, and free of characters that some store or log
//! would refuse or mangle. Cheap to clone: receipts and rows share one allocation.

use std::{fmt, sync::Arc};

use crate::Invalid;

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $invalid:expr, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Accepts text within the bounds of this type.
            pub fn new(text: impl Into<Arc<str>>) -> Result<Self, Invalid> {
                let text = text.into();
                let valid: fn(&str) -> bool = $valid;
                if valid(&text) { Ok(Self(text)) } else { Err($invalid) }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

text!(
    /// Makes a request repeatable: 1-255 visible ASCII characters, unique per user for ever.
    IdempotencyKey,
    Invalid::IdempotencyKey,
    |text| (1..=IdempotencyKey::BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
);

text!(
    /// What a movement was for: up to 1,024 bytes of UTF-8, kept byte for byte.
    Comment,
    Invalid::Comment,
    |text| text.len() <= Comment::BYTES_MAX
        && !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t')
);

text!(
    /// The name of a service as accounting reads it: 1-255 bytes of UTF-8, no space at its ends.
    ServiceName,
    Invalid::ServiceName,
    |text| (1..=ServiceName::BYTES_MAX).contains(&text.len())
        && text.trim() == text
        && !text.chars().any(char::is_control)
);

text!(
    /// What an API key is for: 1-255 bytes of UTF-8, no space at its ends.
    KeyName,
    Invalid::KeyName,
    |text| ServiceName::new(text).is_ok()
);

impl IdempotencyKey {
    /// The longest key, in bytes.
    pub const BYTES_MAX: usize = 255;
}

impl Comment {
    /// The longest comment, in bytes of UTF-8.
    pub const BYTES_MAX: usize = 1024;
}

impl ServiceName {
    /// The longest name, in bytes of UTF-8.
    pub const BYTES_MAX: usize = 255;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_visible_ascii() {
        for accepted in ["a", "order-17/retry", &"k".repeat(255)] {
            assert!(IdempotencyKey::new(accepted).is_ok(), "{accepted}");
        }
        for refused in ["", " ", "a b", "ключ", "a\n", "\u{7f}", &"k".repeat(256)] {
            assert_eq!(IdempotencyKey::new(refused), Err(Invalid::IdempotencyKey), "{refused:?}");
        }
    }

    #[test]
    fn comments_keep_any_script_and_refuse_control_characters() {
        for accepted in
            ["", "за такси", "two\nlines\tand a tab", "'; drop table accounts; --", "\u{202e}rtl", "🦀"]
        {
            assert_eq!(Comment::new(accepted).map(|c| c.as_str().to_owned()), Ok(accepted.to_owned()));
        }
        for refused in ["\0", "a\u{1b}[31m", "\u{85}", &"я".repeat(513)] {
            assert_eq!(Comment::new(refused), Err(Invalid::Comment), "{refused:?}");
        }
    }

    #[test]
    fn service_names_are_not_blank() {
        for accepted in ["Доставка", "=SUM(A1)", "a;b", "\"quoted\""] {
            assert!(ServiceName::new(accepted).is_ok(), "{accepted}");
        }
        for refused in ["", " ", " a", "a ", "a\nb", "\0", &"n".repeat(256)] {
            assert_eq!(ServiceName::new(refused), Err(Invalid::ServiceName), "{refused:?}");
        }
    }
}
