//! ReportSink that publishes a month's revenue as a CSV file.
