//! Messages survive the line, and what people keep in files survives JSON.

use atlas_model::arbitrary::{broken, call, policy};
use atlas_model::experiment::{Disposition, Experiment, Install, Op, Program, Step, Via};
use atlas_model::observation::{End, Sigsys, StepSeen, TaskSeen};
use atlas_model::policy::Policy;
use atlas_model::sweep::{Answer, Calls, Sweep, Swept};
use atlas_model::world::{Change, File, Kind, Of, Open, Protection, Resource};
use atlas_model::{Abi, Filter, Observation};
use atlas_wire::program::{self, LeftOut};
use atlas_wire::{
    Came, Fact, Hello, Item, Late, Made, Outcome, Part, Request, Response, Trace, Traced, decode, encode,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

fn text() -> BoxedStrategy<String> {
    prop_oneof![Just(String::new()), any::<String>()].boxed()
}

fn op() -> impl Strategy<Value = Op> {
    let filter = broken::any;
    let program = prop_oneof![
        4 => filter().prop_map(Program::Filter),
        1 => (filter(), any::<u16>()).prop_map(|(filter, length)| Program::Length(filter, length)),
        1 => Just(Program::NullFprog),
        1 => Just(Program::BadFprog),
        1 => any::<u16>().prop_map(Program::NullInsns),
        1 => any::<u16>().prop_map(Program::BadInsns),
    ];
    let via = prop_oneof![Just(Via::Prctl), any::<u32>().prop_map(|flags| Via::Seccomp { flags })];
    let dispositions = vec![Disposition::Default, Disposition::Ignore, Disposition::Record];
    prop_oneof![
        any::<u8>().prop_map(|child| Op::Fork { child }),
        any::<u8>().prop_map(|child| Op::Thread { child }),
        any::<(u8, u64)>().prop_map(|(child, shares)| Op::Clone { child, shares }),
        Just(Op::Exec),
        (via, program).prop_map(|(via, program)| Op::Install(Install { via, program })),
        call::call().prop_map(Op::Call),
        prop::sample::select(dispositions).prop_map(Op::Sigsys),
        any::<bool>().prop_map(|block| Op::MaskSigsys { block }),
        Just(Op::Rdtsc),
    ]
}

fn experiment() -> impl Strategy<Value = Experiment> {
    let step = (any::<u8>(), op()).prop_map(|(task, op)| Step { task, op });
    (vec(any::<(u32, Vec<u8>)>(), 0..3), vec(step, 0..6), any::<(bool, bool)>())
        .prop_map(|(memory, steps, (watch, tracer))| Experiment { memory, steps, watch, tracer })
}

fn sweep() -> impl Strategy<Value = Sweep> {
    let calls = prop_oneof![
        any::<[u64; 6]>().prop_map(Calls::Every),
        vec(call::call(), 0..5).prop_map(Calls::These),
    ];
    (broken::any(), calls, any::<(u16, bool)>()).prop_map(|(filter, calls, (marker, suspend))| Sweep {
        filter,
        marker,
        calls,
        suspend,
    })
}

fn part_kind() -> impl Strategy<Value = program::Kind> {
    prop_oneof![Just(program::Kind::File), Just(program::Kind::Executable), Just(program::Kind::Directory)]
}

fn request() -> impl Strategy<Value = Request> {
    let item = prop_oneof![
        experiment().prop_map(Item::Experiment),
        experiment().prop_map(Item::Bare),
        text().prop_map(Item::Choreography),
    ];
    prop_oneof![
        1 => Just(Request::Hello),
        6 => (any::<(Option<bool>, u32)>(), vec(item, 0..5))
            .prop_map(|((jit, limit_ms), items)| Request::Run { jit, limit_ms, items }),
        2 => (any::<(Option<bool>, u32)>(), sweep())
            .prop_map(|((jit, limit_ms), sweep)| Request::Sweep { jit, limit_ms, sweep }),
        1 => (text(), part_kind(), any::<(u64, Vec<u8>)>()).prop_map(|(path, kind, (offset, bytes))| {
            Request::Put(Part { path, kind, offset, bytes })
        }),
        1 => (any::<(Option<bool>, u32)>(), (text(), text()), vec(text(), 0..4), vec(text(), 0..4), of(broken::any()))
            .prop_map(|((jit, limit_ms), (program, directory), arguments, environment, filter)| {
                Request::Trace(Trace { jit, limit_ms, program, directory, arguments, environment, filter })
            }),
    ]
}

fn sigsys() -> impl Strategy<Value = Sigsys> {
    any::<(i32, i32, i32, u64, i32, u32, i64)>().prop_map(
        |(signo, code, errno, call_addr, syscall, arch, result)| Sigsys {
            signo,
            code,
            errno,
            call_addr,
            syscall,
            arch,
            result,
        },
    )
}

fn change() -> impl Strategy<Value = Change> {
    let kind = prop_oneof![
        any::<u64>().prop_map(|length| Kind::Regular { length }),
        Just(Kind::Directory),
        Just(Kind::Fifo),
        text().prop_map(|target| Kind::Link { target }),
        Just(Kind::Other),
    ];
    let file =
        (kind, any::<(u32, u32)>()).prop_map(|(kind, (mode, owner))| File { kind, mode, owner }).boxed();
    let open = prop_oneof![
        Just(Open::Pipe),
        Just(Open::Socket),
        text().prop_map(Open::Anonymous),
        text().prop_map(Open::File),
    ]
    .boxed();
    let page = any::<(bool, bool, bool, bool)>()
        .prop_map(|(read, write, execute, shared)| Protection { read, write, execute, shared })
        .boxed();
    let of_task = prop_oneof![
        text().prop_map(Of::Directory),
        any::<u32>().prop_map(Of::Umask),
        (any::<u32>(), of(open.clone()), of(open)).prop_map(|(number, before, after)| Of::Descriptor {
            number,
            before,
            after
        }),
        (any::<u32>(), of(page.clone()), of(page)).prop_map(|(number, before, after)| Of::Page {
            number,
            before,
            after
        }),
        (prop::sample::select(vec![Resource::Stack, Resource::Files]), any::<(u64, u64)>())
            .prop_map(|(resource, (soft, hard))| Of::Limit { resource, soft, hard }),
        any::<i32>().prop_map(Of::Nice),
        any::<u32>().prop_map(Of::Personality),
        any::<[u32; 3]>().prop_map(Of::Users),
    ];
    prop_oneof![
        (text(), of(file.clone()), of(file)).prop_map(|(name, before, after)| Change::File {
            name,
            before,
            after
        }),
        any::<(u32, u32)>().prop_map(|(before, after)| Change::Pipe { before, after }),
        any::<u32>().prop_map(Change::Signal),
        text().prop_map(Change::Hostname),
        (any::<u8>(), of_task).prop_map(|(task, of)| Change::Task(task, of)),
    ]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::NeverMade),
        Just(End::Alive),
        any::<i32>().prop_map(End::Exited),
        any::<(i32, bool)>().prop_map(|(signal, core)| End::Signaled { signal, core }),
        Just(End::ThreadGone),
        Just(End::TimedOut),
    ]
}

fn traced() -> impl Strategy<Value = Traced> {
    let came =
        prop_oneof![any::<i64>().prop_map(Came::Back), Just(Came::Never), sigsys().prop_map(Came::Trapped),];
    let abi = prop::sample::select(Abi::ALL.to_vec());
    let made = (abi, any::<(u32, [u64; 6], u64, u64, u32)>(), came, of(text())).prop_map(
        |(abi, (nr, args, ip, count, task), came, path)| Made { abi, nr, args, ip, came, count, path, task },
    );
    let bytes = any::<(Vec<u8>, Vec<u8>, bool)>();
    let numbers = any::<(i64, [u64; 2], u32, u64, Option<u64>)>();
    let late = (any::<u32>(), of(call::call())).prop_map(|(task, call)| Late { task, call });
    (numbers, (of(end()), of(vec(late, 0..3))), vec(made, 0..5), bytes, vec(text(), 0..3)).prop_map(
        |(
            (attached, [denied, allowed], tasks, micros, starved),
            (end, late),
            calls,
            (stdout, stderr, cut),
            missed,
        )| Traced {
            attached,
            end,
            late,
            calls,
            left_out: LeftOut { denied, allowed },
            stdout,
            stderr,
            cut,
            missed,
            starved,
            tasks,
            micros,
        },
    )
}

fn observation() -> impl Strategy<Value = Observation> {
    let task = (any::<(i32, i32)>(), end()).prop_map(|((tid, pid), end)| TaskSeen { tid, pid, end });
    let step = (any::<(bool, Option<i64>)>(), vec(sigsys(), 0..3), vec(any::<u32>(), 0..3))
        .prop_map(|((reached, returned), traps, traced)| StepSeen { reached, returned, traps, traced });
    (vec(step, 0..5), vec(task, 0..3), vec(change(), 0..4)).prop_map(|(steps, tasks, world)| Observation {
        steps,
        tasks,
        world,
    })
}

fn response() -> impl Strategy<Value = Response> {
    let facts = || vec((text(), any::<i64>()).prop_map(|(name, value)| Fact { name, value }), 0..4);
    let outcome = prop_oneof![
        4 => observation().prop_map(Outcome::Observed),
        1 => facts().prop_map(Outcome::Facts),
        1 => (text(), any::<i64>(), facts()).prop_map(|(how, code, facts)| Outcome::Died { how, code, facts }),
        1 => facts().prop_map(|facts| Outcome::TimedOut { facts }),
        1 => text().prop_map(Outcome::Impossible),
    ];
    let hello = (any::<(u32, bool)>(), [text(), text(), text(), text()], of(text())).prop_map(
        |((protocol, window), [release, version, machine, cpu], jit)| Hello {
            protocol,
            release,
            version,
            machine,
            cpu,
            jit,
            window,
        },
    );
    let answer = prop_oneof![
        any::<i64>().prop_map(Answer::Value),
        sigsys().prop_map(Answer::Trap),
        any::<i32>().prop_map(Answer::Killed),
    ];
    let swept = (vec(answer, 0..50), any::<(bool, u32, u64)>())
        .prop_map(|(answers, (suspended, children, micros))| Swept { answers, suspended, children, micros });
    prop_oneof![
        1 => hello.prop_map(Response::Hello),
        4 => vec(outcome, 0..5).prop_map(Response::Ran),
        1 => text().prop_map(Response::Refused),
        2 => swept.prop_map(Response::Swept),
        1 => any::<u64>().prop_map(Response::Stored),
        2 => traced().prop_map(Response::Traced),
    ]
}

proptest! {
    #[test]
    fn a_request_survives_the_line(request in request()) {
        let bytes = encode(&request).unwrap();
        prop_assert_eq!(decode::<Request>(&bytes).unwrap(), request);
        // Nothing that is cut off or goes on is a message.
        prop_assert!(decode::<Request>(&bytes[..bytes.len() - 1]).is_err());
        prop_assert!(decode::<Request>(&[bytes.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn a_response_survives_the_line(response in response()) {
        let bytes = encode(&response).unwrap();
        prop_assert_eq!(decode::<Response>(&bytes).unwrap(), response);
        prop_assert!(decode::<Response>(&bytes[..bytes.len() - 1]).is_err());
        prop_assert!(decode::<Response>(&[bytes.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn a_filter_survives_json(filter in broken::any()) {
        let json = serde_json::to_string(&filter).unwrap();
        prop_assert_eq!(serde_json::from_str::<Filter>(&json).unwrap(), filter);
    }

    #[test]
    fn an_experiment_survives_json(experiment in experiment()) {
        let json = serde_json::to_string(&experiment).unwrap();
        prop_assert_eq!(serde_json::from_str::<Experiment>(&json).unwrap(), experiment);
    }

    #[test]
    fn a_policy_survives_json(policy in policy::policy()) {
        let json = serde_json::to_string(&policy).unwrap();
        prop_assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), policy);
    }
}
