//! Where a request ends. Only that: what a request means, and whether it is allowed at all, is the decoder's business.
//!
//! The rules are never more generous than the decoder's: a request that it would take for shorter must not hide
//! another one. Where the two could differ the head goes to the decoder alone, and the decoder refuses it.

/// What is there of a head.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// Its end is still to come.
    Partial,
    /// The length in bytes, and the body behind them.
    Whole(usize, Framing),
    /// A line does not end in CR LF. The decoder would let that pass.
    Malformed,
    /// Longer than allowed.
    TooLarge,
}

/// How much of a body is still to come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// This many bytes.
    Length(u64),
    /// Chunks, as far as they were read.
    Chunked(Chunked),
}

/// Where in a chunked body the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunked {
    /// In the size of a chunk; nothing of it has come.
    SizeBegin,
    /// In the size of a chunk.
    Size(u64),
    /// Between the size and the end of its line.
    Extension(u64),
    /// At the line feed behind a size.
    SizeLf(u64),
    /// In a chunk.
    Data(u64),
    /// At the carriage return behind a chunk.
    DataCr,
    /// At the line feed behind a chunk.
    DataLf,
    /// At the beginning of a line behind the last chunk.
    TrailerBegin,
    /// In a line behind the last chunk.
    Trailer,
    /// At the line feed behind such a line.
    TrailerLf,
    /// At the last byte.
    EndLf,
    /// Behind the last byte, or behind the first one that does not belong: the decoder refuses that.
    End,
}

/// Finds the end of the head that these bytes begin with; the first `searched` of them do not have it. Empty lines
/// before a request are nothing.
pub(super) fn head(bytes: &[u8], searched: usize, bytes_max: usize) -> Head {
    let window = &bytes[..bytes.len().min(bytes_max)];
    let begin = window.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(window.len());
    // An end may begin up to three bytes before what is new.
    let from = searched.saturating_sub(3).max(begin);
    for feed in memchr::memchr_iter(b'\n', &window[from..]).map(|at| from + at) {
        match window[begin..feed] {
            [.., b'\r', b'\n', b'\r'] => return Head::Whole(feed + 1, framing(&window[begin..=feed])),
            [.., b'\r'] => {}
            _ => return Head::Malformed,
        }
    }
    if bytes.len() >= bytes_max { Head::TooLarge } else { Head::Partial }
}

/// What a head says of its body.
fn framing(head: &[u8]) -> Framing {
    let (mut length, mut is_chunked, mut is_upgrade) = (None, false, false);
    let mut from = 0;
    for feed in memchr::memchr_iter(b'\n', head) {
        let line = &head[from..feed];
        from = feed + 1;
        if let Some(value) = value_of(line, b"content-length") {
            let number = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok());
            let Some(number) = number else { return Framing::Length(0) };
            if length.replace(number).is_some() {
                return Framing::Length(0);
            }
        } else if let Some(value) = value_of(line, b"transfer-encoding") {
            if is_chunked || !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Framing::Length(0);
            }
            is_chunked = true;
        } else if let Some(value) = value_of(line, b"upgrade") {
            is_upgrade |= value.trim_ascii().eq_ignore_ascii_case(b"websocket");
        }
    }
    match (is_chunked, length) {
        (true, None) => Framing::Chunked(Chunked::SizeBegin),
        // The decoder takes all that follows for one body, which nobody reads.
        (false, _) if is_upgrade => Framing::Length(0),
        (false, length) => Framing::Length(length.unwrap_or(0)),
        (true, Some(_)) => Framing::Length(0),
    }
}

/// What stands behind the colon, if the line has this name.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    // One look at the first letter decides nearly always.
    if line.first()?.to_ascii_lowercase() != name[0] || line.get(name.len()) != Some(&b':') {
        return None;
    }
    let (given, value) = line.split_at(name.len());
    given.eq_ignore_ascii_case(name).then(|| &value[1..])
}

impl Framing {
    /// How many of these bytes, which come next, belong to the body.
    pub(super) fn take(&mut self, bytes: &[u8]) -> usize {
        match self {
            Self::Length(rest) => {
                let taken = bytes.len().min(usize::try_from(*rest).unwrap_or(usize::MAX));
                *rest -= taken as u64;
                taken
            }
            Self::Chunked(place) => {
                let mut taken = 0;
                while taken < bytes.len() && *place != Chunked::End {
                    taken += place.step(&bytes[taken..]);
                }
                taken
            }
        }
    }

    /// Whether nothing of the body is still to come.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunked::End))
    }
}

impl Chunked {
    /// Goes on by at least one of these bytes; how many it were.
    fn step(&mut self, bytes: &[u8]) -> usize {
        let byte = bytes[0];
        let next = match *self {
            Self::Data(rest) => {
                let taken = bytes.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
                let rest = rest - taken as u64;
                *self = if rest == 0 { Self::DataCr } else { Self::Data(rest) };
                return taken;
            }
            Self::SizeBegin => digit(byte).map(Self::Size),
            Self::Size(size) => match byte {
                b'\t' | b' ' | b';' => Some(Self::Extension(size)),
                b'\r' => Some(Self::SizeLf(size)),
                _ => digit(byte).and_then(|digit| size.checked_mul(16)?.checked_add(digit)).map(Self::Size),
            },
            Self::Extension(size) => match byte {
                b'\r' => Some(Self::SizeLf(size)),
                b'\n' => None,
                _ => Some(Self::Extension(size)),
            },
            Self::SizeLf(0) | Self::TrailerLf => (byte == b'\n').then_some(Self::TrailerBegin),
            Self::SizeLf(size) => (byte == b'\n').then_some(Self::Data(size)),
            Self::DataCr => (byte == b'\r').then_some(Self::DataLf),
            Self::DataLf => (byte == b'\n').then_some(Self::SizeBegin),
            Self::TrailerBegin if byte == b'\r' => Some(Self::EndLf),
            Self::Trailer if byte == b'\r' => Some(Self::TrailerLf),
            Self::TrailerBegin | Self::Trailer => Some(Self::Trailer),
            Self::EndLf | Self::End => None,
        };
        *self = next.unwrap_or(Self::End);
        1
    }
}

fn digit(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

#[cfg(test)]
mod tests;
