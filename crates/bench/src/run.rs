//! One benchmark of chosen workloads: starts everything, measures in turn, verifies, reports.

use anyhow::Context;

use crate::{
    RunArgs, Store,
    environment::Environment,
    measure::Meter,
    plot, probe,
    progress::progress,
    report::Report,
    subject::{Subject, Wish},
};

pub(crate) fn run(args: &RunArgs) -> anyhow::Result<()> {
    let store = args.database_url.as_deref().map_or(args.store, Store::of_url);
    let mut environment = Environment::open(store, args.data, args.database_url.as_deref())?;
    let subjects = subjects(args, &mut environment)?;
    let subjects_measured: Vec<&Subject> = subjects.iter().collect();
    let measurements = args.workloads.len() * args.connections.len() * args.rounds * (1 + subjects.len());
    let bar = progress(measurements as u64, "measuring");
    let mut meter = Meter::start(environment.database_pid(), args.duration(), args.rounds, bar)?;
    let flushed = environment.flushed_folder();

    let fdatasync_before = probe::fdatasync(&flushed)?;
    let mut rows = Vec::new();
    for &workload in &args.workloads {
        for &connections in &args.connections {
            rows.append(&mut meter.measure(&subjects_measured, workload, connections, args.rate)?);
        }
    }
    let fdatasync_after = probe::fdatasync(&flushed)?;
    meter.bar().finish_and_clear();

    for subject in subjects {
        subject.verify()?;
    }
    let report = Report::new(args, store, &rows, fdatasync_before, fdatasync_after);
    report.print()?;
    if let Some(path) = &args.json {
        std::fs::write(path, report.to_json()?).with_context(|| format!("writing {}", path.display()))?;
    }
    if let Some(path) = &args.plot {
        plot::draw(&report.figures, path)?;
    }
    Ok(())
}

/// The build to measure, and the one to compare it with.
fn subjects(args: &RunArgs, environment: &mut Environment) -> anyhow::Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    for (name, binary) in [("balance", Some(&args.binary)), ("baseline", args.baseline.as_ref())] {
        let Some(binary) = binary else { continue };
        let url = match &args.database_url {
            Some(url) => url.clone(),
            None => environment.new_books(name)?,
        };
        subjects.push(Subject::start(&Wish {
            name,
            binary,
            url,
            folder: environment.folder(),
            settings: &args.settings,
            users: args.users,
            is_new: args.database_url.is_none(),
        })?);
    }
    Ok(subjects)
}
