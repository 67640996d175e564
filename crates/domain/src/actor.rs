//! Who did it: written with every operation and every fact, for good.

use std::{fmt, str::FromStr};

use crate::{ApiKeyId, Invalid};

/// Who made something happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Actor {
    /// A caller with this API key.
    Key(ApiKeyId),
    /// A caller of an installation that has no keys.
    Anonymous,
    /// The deadline of a reservation.
    Expiry,
    /// The command line, on the machine of the service.
    CommandLine,
}

impl Actor {
    /// The longest text of an actor, in bytes.
    pub const BYTES_MAX: usize = 16;

    const KEY: &str = "key:";

    /// The text in the API and in the stores: `key:<id>`, `anonymous`, `expiry` or `command_line`.
    pub fn write_to(self, buffer: &mut [u8; Self::BYTES_MAX]) -> &str {
        let parts = match &self {
            Self::Key(id) => [Self::KEY, id.as_str()],
            Self::Anonymous => ["anonymous", ""],
            Self::Expiry => ["expiry", ""],
            Self::CommandLine => ["command_line", ""],
        };
        let mut length = 0;
        for part in parts {
            buffer[length..length + part.len()].copy_from_slice(part.as_bytes());
            length += part.len();
        }
        std::str::from_utf8(&buffer[..length]).unwrap_or_default()
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.write_to(&mut [0; Self::BYTES_MAX]))
    }
}

impl FromStr for Actor {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "anonymous" => Ok(Self::Anonymous),
            "expiry" => Ok(Self::Expiry),
            "command_line" => Ok(Self::CommandLine),
            _ => text
                .strip_prefix(Self::KEY)
                .and_then(|id| ApiKeyId::new(id).ok())
                .map(Self::Key)
                .ok_or(Invalid::Actor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_is_the_same_after_it_was_written_down() {
        let key = ApiKeyId::new("0123456789ab").unwrap();
        for (actor, text) in [
            (Actor::Key(key), "key:0123456789ab"),
            (Actor::Anonymous, "anonymous"),
            (Actor::Expiry, "expiry"),
            (Actor::CommandLine, "command_line"),
        ] {
            assert_eq!((actor.to_string().as_str(), text.parse()), (text, Ok(actor)));
        }
        for refused in ["", "key:", "key:0123", "0123456789ab", "root", "key:0123456789abc"] {
            assert_eq!(refused.parse::<Actor>(), Err(Invalid::Actor), "{refused:?}");
        }
    }
}
