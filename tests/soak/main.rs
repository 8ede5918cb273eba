//! The soak: a job whose worker processes are killed a few hundred times, with each backend and number of processes. What
//! it commits has to be what an undisturbed run commits, record for record. Started by `cargo xtask soak`.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};
use tidewheel_tests::survival::{Outcome, Results, Soak, difference, expected};

const BACKENDS: [&str; 2] = ["memory", "rocksdb"];

/// Events for each kill: more than the job comes on, on average, until the next one.
const EVENTS_PER_KILL: u64 = 20_000;

/// Events in a second.
const RATE: u64 = 50_000;

fn main() -> ExitCode {
    let wanted = match Wanted::read(std::env::args().skip(1)) {
        Ok(wanted) => wanted,
        Err(mistake) => {
            eprintln!("error: {mistake}");
            return ExitCode::from(2);
        }
    };
    println!("seed {}, {} kills for each backend and number of processes", wanted.seed, wanted.kills);
    let expected = expected(wanted.events());
    let soaks = wanted.soaks();
    let failed = soaks.iter().filter(|soak| !survives(soak, &expected)).count();
    if failed > 0 {
        println!("{failed} of {} failed; `--seed {}` repeats the kills", soaks.len(), wanted.seed);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// What the command line asks for.
struct Wanted {
    kills: usize,
    seed: u64,
    workers: usize,
    processes: Vec<usize>,
    backends: Vec<&'static str>,
}

impl Wanted {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Wanted, String> {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        let mut wanted =
            Wanted { kills: 200, seed: clock, workers: 1, processes: vec![1, 2], backends: BACKENDS.to_vec() };
        while let Some(argument) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{argument} needs a value"))?;
            let number = || value.parse::<u64>().map_err(|_| format!("{value:?} is no number for {argument}"));
            match argument.as_str() {
                "--kills" => wanted.kills = number()? as usize,
                "--seed" => wanted.seed = number()?,
                "--workers" => wanted.workers = number()? as usize,
                "--processes" => wanted.processes = vec![number()? as usize],
                "--backend" => match BACKENDS.into_iter().find(|backend| *backend == value) {
                    Some(backend) => wanted.backends = vec![backend],
                    None => return Err(format!("there is no backend {value:?}, only {}", BACKENDS.join(" and "))),
                },
                other => return Err(format!("there is no {other}")),
            }
        }
        Ok(wanted)
    }

    fn events(&self) -> u64 {
        self.kills as u64 * EVENTS_PER_KILL
    }

    fn soaks(&self) -> Vec<Soak> {
        let each = |backend: &'static str| self.processes.iter().map(move |processes| (backend, *processes));
        let soaks = self.backends.iter().copied().flat_map(each).map(|(backend, processes)| Soak {
            seed: self.seed,
            kills: self.kills,
            backend,
            workers: self.workers,
            processes,
            events: self.events(),
            rate: RATE,
        });
        soaks.collect()
    }
}

/// Runs one and says how it went.
fn survives(soak: &Soak, expected: &Results) -> bool {
    let outcome = soak.run();
    let Outcome { kills, at_points, between, between_by_chance, missed, other_failures, found } = &outcome;
    let named: usize = at_points.values().sum();
    println!("\n{}, worker processes: {}, workers in each: {}", soak.backend, soak.processes, soak.workers);
    println!("  {kills} kills: {named} at named crash points, {} at random moments", kills - named);
    println!("  between snapshot and commit: {between} by name, {between_by_chance} by chance, with output staged");
    let points: Vec<String> = at_points.iter().map(|(point, times)| format!("{point} {times}")).collect();
    println!("  crash points: {}", points.join(", "));
    if *missed > 0 {
        println!("  crash points not reached in time: {missed}");
    }
    let mut faults: Vec<String> =
        other_failures.iter().map(|failure| format!("it failed of itself: {failure}")).collect();
    faults.extend(difference(found, expected));
    if *kills < soak.kills {
        faults.push(format!("the job came to its end after {kills} kills"));
    }
    if *between == 0 {
        faults.push("no kill fell between snapshot and commit".to_owned());
    }
    match faults.as_slice() {
        [] => println!("  the {} records are those of an undisturbed run", found.iter().map(Vec::len).sum::<usize>()),
        faults => faults.iter().for_each(|fault| println!("  FAILED: {fault}")),
    }
    faults.is_empty()
}
