//! Where log lines end: each written to its end, or counted as lost.

use std::{
    fs::File,
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// How many lines could not be written.
pub(super) type Lost = Arc<AtomicU64>;

/// A place that lines are written to.
pub(super) trait Place: Send + 'static {
    /// The file for the next line, of `line_bytes` bytes.
    fn file(&mut self, line_bytes: usize) -> io::Result<&mut File>;
}

/// One file for ever, such as stdout.
impl Place for File {
    fn file(&mut self, _: usize) -> io::Result<&mut File> {
        Ok(self)
    }
}

/// Writes whole lines. One that fails is counted, and what stands of it does not become part of the next.
pub(super) struct Lines<P> {
    place: P,
    lost: Lost,
    is_torn: bool,
}

impl<P: Place> Lines<P> {
    pub(super) fn new(place: P, lost: Lost) -> Self {
        Self { place, lost, is_torn: false }
    }

    fn put(&mut self, line: &[u8]) -> io::Result<()> {
        let file = self.place.file(line.len())?;
        if self.is_torn {
            file.write_all(b"\n")?;
            self.is_torn = false;
        }
        let mut rest = line;
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    rest = &rest[written..];
                    self.is_torn = !rest.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A caller never gets a failure: it could not do anything about it.
impl<P: Place> Write for Lines<P> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.put(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    /// Nothing is buffered.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::net::UnixStream};

    use super::*;

    /// A pipe that takes no more, until it is emptied.
    #[test]
    fn a_broken_line_is_counted_and_stays_a_line_of_its_own() {
        let (reader, writer) = UnixStream::pair().unwrap();
        writer.set_nonblocking(true).unwrap();
        reader.set_nonblocking(true).unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(writer));
        let lost = Lost::default();
        let mut lines = Lines::new(file, Arc::clone(&lost));
        let line = format!("{}\n", "x".repeat(9_999));
        while lost.load(Ordering::Relaxed) == 0 {
            lines.write_all(line.as_bytes()).unwrap();
        }
        let mut reader = File::from(std::os::fd::OwnedFd::from(reader));
        let mut text = String::new();
        assert!(
            io::Read::read_to_string(&mut reader, &mut text).is_err(),
            "all of it is read, and no end comes"
        );
        lines.write_all(b"whole\n").unwrap();
        assert!(io::Read::read_to_string(&mut reader, &mut text).is_err());
        let read: Vec<_> = text.lines().collect();
        assert_eq!(read.last(), Some(&"whole"));
        assert!(read.iter().filter(|line| line.len() != 9_999).count() <= 2, "one torn line, and the last");
        assert_eq!(lost.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_place_that_cannot_be_opened_loses_lines_and_not_the_service() {
        struct Nowhere;
        impl Place for Nowhere {
            fn file(&mut self, _: usize) -> io::Result<&mut File> {
                fs::File::open("/nonexistent")?;
                unreachable!()
            }
        }
        let lost = Lost::default();
        let mut lines = Lines::new(Nowhere, Arc::clone(&lost));
        lines.write_all(b"one\n").unwrap();
        lines.write_all(b"two\n").unwrap();
        assert_eq!(lost.load(Ordering::Relaxed), 2);
    }
}
