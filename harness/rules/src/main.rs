//! `rules`: tenants' Ruby rules decide on events.

mod args;

use args::Args;
use atlas_rules::{Engine, Summary};
use clap::Parser;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Wrong usage, or the engine cannot work.
const CANNOT: u8 = 2;

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(summary) => {
            report(&args, &summary);
            ExitCode::from(u8::from(summary.quarantined() > 0))
        }
        Err(why) => {
            let _ = writeln!(io::stderr(), "rules: {why}");
            ExitCode::from(CANNOT)
        }
    }
}

fn run(args: &Args) -> Result<Summary, String> {
    let tenants = args.tenants()?;
    let events: Box<dyn Read + Send> = if args.events.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        let named = |error| format!("{}: {error}", args.events.display());
        Box::new(File::open(&args.events).map_err(named)?)
    };
    // The sandboxes come first: their zygotes shall not have our handlers.
    let engine = Engine::new(tenants, args.options()).map_err(|error| error.to_string())?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The second one ends the program at once.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, stop.clone())
            .and_then(|_| signal_hook::flag::register(signal, stop.clone()))
            .map_err(|error| format!("signal {signal}: {error}"))?;
    }
    let mut output = BufWriter::new(io::stdout().lock());
    let ended = engine.run(events, &stop, |records| {
        for record in records {
            serde_json::to_writer(&mut output, record)?;
            output.write_all(b"\n")?;
        }
        // What is done is seen before the next event is waited for.
        output.flush()
    });
    ended.map_err(|error| error.to_string())
}

fn report(args: &Args, summary: &Summary) {
    let text = if args.json {
        serde_json::to_string(summary).map(|line| line + "\n").unwrap_or_default()
    } else {
        summary.to_string()
    };
    // There is nobody to tell where standard error is closed.
    let _ = io::stderr().write_all(text.as_bytes());
}
