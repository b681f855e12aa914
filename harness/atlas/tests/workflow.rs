//! The workflow: held to GitHub's schema, read by the model of a linter, and followed to the scripts
//! that it calls.

use github_actions_models::common::{Permission, Permissions, Uses, expr::BoE};
use github_actions_models::workflow::job::{NormalJob, Step};
use github_actions_models::workflow::{Concurrency, Job, Workflow};
use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn workflow() -> String {
    std::fs::read_to_string(root().join(".github/workflows/matrix.yml")).unwrap()
}

/// What is wrong with a workflow, a line each.
fn lint(text: &str) -> Vec<String> {
    let value: serde_json::Value = match yaml_serde::from_str(text) {
        Ok(value) => value,
        Err(error) => return vec![format!("no YAML: {error}")],
    };
    let schema = serde_json::from_str(include_str!("workflow/github-workflow.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let mut wrong = Vec::new();
    schema.iter_errors(&value).for_each(|error| tell(&error, &mut wrong));
    match yaml_serde::from_str::<Workflow>(text) {
        Ok(workflow) => check(&workflow, &mut wrong),
        Err(error) => wrong.push(format!("no workflow: {error}")),
    }
    actions(&value, &mut wrong);
    outputs(&value, &mut wrong);
    wrong
}

/// A complaint in words; where a value may be of several shapes, what is wrong with each.
fn tell(error: &ValidationError<'_>, wrong: &mut Vec<String>) {
    match error.kind() {
        ValidationErrorKind::OneOfNotValid { context } | ValidationErrorKind::AnyOf { context } => {
            context.iter().flatten().for_each(|error| tell(error, wrong));
        }
        _ => wrong.push(format!("{}: {error}", error.instance_path())),
    }
}

/// What the schema cannot say, and this project's own rules.
fn check(workflow: &Workflow, wrong: &mut Vec<String>) {
    let read_only = |permissions: &Permissions| match permissions {
        Permissions::Explicit(all) => all.values().all(|permission| *permission != Permission::Write),
        Permissions::Base(_) => false,
    };
    if !read_only(&workflow.permissions) {
        wrong.push("permissions: more than reading".into());
    }
    match &workflow.concurrency {
        Some(Concurrency::Rich { cancel_in_progress: BoE::Literal(true), .. }) => {}
        _ => wrong.push("concurrency: does not cancel what is in progress".into()),
    }
    for (name, job) in &workflow.jobs {
        let Job::NormalJob(job) = job else {
            wrong.push(format!("jobs/{name}: calls another workflow"));
            continue;
        };
        for need in needs(job) {
            if !workflow.jobs.contains_key(&need) {
                wrong.push(format!("jobs/{name}: needs {need}, and there is no such job"));
            }
        }
        if job.timeout_minutes.is_none() {
            wrong.push(format!("jobs/{name}: no timeout-minutes"));
        }
        if !read_only(&job.permissions) && !matches!(&job.permissions, Permissions::Base(_)) {
            wrong.push(format!("jobs/{name}: permissions: more than reading"));
        }
        for step in &job.steps {
            match step {
                Step::Run(step) => script(name, step.run.trim(), wrong),
                Step::Uses(_) => {}
                other => wrong.push(format!("jobs/{name}: neither a script nor an action: {other:?}")),
            }
        }
    }
    cycle(workflow, wrong);
}

fn needs(job: &NormalJob) -> Vec<String> {
    job.needs.clone()
}

/// Jobs that wait for each other never run.
fn cycle(workflow: &Workflow, wrong: &mut Vec<String>) {
    let mut waiting: Vec<(&String, Vec<String>)> = workflow
        .jobs
        .iter()
        .filter_map(|(name, job)| match job {
            Job::NormalJob(job) => Some((name, needs(job))),
            Job::ReusableWorkflowCallJob(_) => None,
        })
        .collect();
    loop {
        let names: Vec<&String> = waiting.iter().map(|(name, _)| *name).collect();
        let before = names.len();
        waiting.retain(|(_, needs)| needs.iter().any(|need| names.contains(&need)));
        if waiting.is_empty() {
            return;
        }
        if waiting.len() == before {
            wrong.push(format!("jobs: {names:?} wait for each other"));
            return;
        }
    }
}

/// A command is one script of `ci/`, with arguments, and nothing that a shell makes more of.
fn script(job: &str, run: &str, wrong: &mut Vec<String>) {
    let program = run.split_whitespace().next().unwrap_or_default();
    let plain = run.split("${{").enumerate().all(|(at, part)| {
        let part = if at == 0 { part } else { part.split_once("}}").map_or("$", |(_, rest)| rest) };
        !part.contains(['\n', ';', '&', '|', '>', '<', '$', '`', '(', '\\'])
    });
    let path = root().join(program);
    let executable =
        path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 == 0o111);
    if !program.starts_with("ci/") || !executable || !plain {
        wrong.push(format!("jobs/{job}: `{run}` is no call of a script in ci/"));
    }
}

/// Every action is one of GitHub's, by its major version. Looked at as text, because the model says no
/// more of a wrong one than that the job is none.
fn actions(value: &serde_json::Value, wrong: &mut Vec<String>) {
    for (name, job) in value["jobs"].as_object().into_iter().flatten() {
        for step in job["steps"].as_array().into_iter().flatten() {
            if let Some(uses) = step["uses"].as_str() {
                pinned(name, uses, wrong);
            }
        }
    }
}

fn pinned(job: &str, uses: &str, wrong: &mut Vec<String>) {
    let right = match Uses::parse(uses) {
        Ok(Uses::Repository(uses)) => {
            let major = uses.git_ref().strip_prefix('v').is_some_and(|major| major.parse::<u32>().is_ok());
            uses.owner() == "actions" && major
        }
        _ => false,
    };
    if !right {
        wrong.push(format!("jobs/{job}: {uses} is not pinned to a major version of an action of GitHub's"));
    }
}

/// `needs.JOB.outputs.NAME` in a job must be a need of that job, and an output of the other.
fn outputs(value: &serde_json::Value, wrong: &mut Vec<String>) {
    let Some(jobs) = value["jobs"].as_object() else { return };
    for (name, job) in jobs {
        let needs: Vec<&str> = match &job["needs"] {
            serde_json::Value::String(need) => vec![need],
            serde_json::Value::Array(needs) => needs.iter().filter_map(|need| need.as_str()).collect(),
            _ => vec![],
        };
        let text = job.to_string();
        for part in text.split("needs.").skip(1) {
            let word: String =
                part.chars().take_while(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).collect();
            let parts: Vec<&str> = word.split('.').collect();
            let there = match parts[..] {
                [other, "outputs", output] => {
                    jobs.get(other).is_some_and(|job| !job["outputs"][output].is_null())
                }
                [_, "result"] => true,
                _ => false,
            };
            if !there || !needs.contains(&parts[0]) {
                wrong.push(format!("jobs/{name}: needs.{word} is no output of a job that it needs"));
            }
        }
    }
}

#[test]
fn the_workflow_is_right() {
    assert_eq!(lint(&workflow()), [""; 0]);
}

#[test]
fn what_is_wrong_with_a_workflow_is_said() {
    let right = workflow();
    for (from, to, says) in [
        ("timeout-minutes: 5\n", "timeout-minuets: 5\n", "timeout-minuets"),
        ("    timeout-minutes: 5\n", "", "jobs/series: no timeout-minutes"),
        ("runs-on: ubuntu-24.04\n    timeout", "timeout", "runs-on"),
        ("fail-fast: false", "fail-fast: maybe", "no workflow"),
        ("needs: [prepare, leg]", "needs: [prepare, legs]", "jobs/merge: needs legs"),
        (
            "needs: [prepare, leg]",
            "needs: [prepare]\n    env: {A: '${{ needs.leg.result }}'}",
            "needs.leg.result",
        ),
        ("  prepare:\n", "  prepare:\n    needs: merge\n", "wait for each other"),
        ("needs.series.outputs.json", "needs.series.outputs.jason", "needs.series.outputs.jason"),
        ("contents: read", "contents: write", "permissions"),
        ("permissions:\n  contents: read\n", "", "permissions"),
        ("permissions:\n  contents: read", "permissions: write-all", "permissions"),
        ("contents: read", "content: read", "content"),
        ("cancel-in-progress: true", "cancel-in-progress: false", "concurrency"),
        ("actions/checkout@v4", "actions/checkout@main", "not pinned"),
        ("actions/checkout@v4", "actions/checkout", "actions/checkout is not pinned"),
        ("actions/checkout@v4", "somebody/checkout@v4", "not pinned"),
        ("run: ci/prepare", "run: ci/preparation", "ci/preparation"),
        ("run: ci/prepare", "run: ci/prepare; reboot", "reboot"),
        ("run: ci/prepare", "run: curl example.org", "curl"),
        ("run: ci/prepare", "run: ci/prepare $HOME", "HOME"),
        ("run: ci/prepare", "runs: ci/prepare", "runs"),
        ("jobs:\n", "jobs: [\n", "no YAML"),
    ] {
        let broken = right.replacen(from, to, 1);
        assert_ne!(broken, right, "{from}");
        let wrong = lint(&broken);
        assert!(wrong.iter().any(|line| line.contains(says)), "{to}: {wrong:?}");
    }
}

/// The cache has to be of the kernels that the lock names, and legs have to find what was made.
#[test]
fn the_workflow_keeps_what_legs_need() {
    let text = workflow();
    assert_eq!(text.matches("key: kernels-${{ hashFiles('vm-images/kernels.lock') }}").count(), 2);
    let paths: Vec<&str> =
        text.split("path: |\n").skip(1).map(|rest| rest.split("key:").next().unwrap()).collect();
    assert!(paths.len() == 2 && paths[0] == paths[1]);
    let value: serde_json::Value = yaml_serde::from_str(&text).unwrap();
    let cache = value["env"]["SECCOMP_ATLAS_CACHE"].as_str().unwrap();
    assert!(
        paths[0].contains(&format!("{cache}/images")) && paths[0].contains(&format!("{cache}/store.toml"))
    );
    assert_eq!(value["env"]["ATLAS"], "bin/atlas");
}
