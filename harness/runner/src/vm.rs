//! The interpreter, as a process has it that will never leave its filter again: it makes no call, and
//! asks no allocator but its own.

mod arena;
mod json;
mod value;
mod watch;

use crate::frame::Kind;
use crate::out::{self, Text};
use arena::Arena;
use mruby_sys as mrb;
use std::ffi::{CStr, c_void};
use value::Shape;

pub(crate) use watch::{instructions, line, reached};

/// What a native function does: integers in, an integer out. It runs in the worker, behind the filter.
pub type Native = fn(&[i64]) -> i64;

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Answer {
    Value = 0,
    Exception = 1,
    Syntax = 2,
    NoMemory = 3,
    TooDeep = 4,
}

impl Answer {
    pub(crate) fn of(byte: u8) -> Option<Self> {
        [Self::Value, Self::Exception, Self::Syntax, Self::NoMemory, Self::TooDeep]
            .into_iter()
            .find(|answer| *answer as u8 == byte)
    }
}

/// An interpreter that is initialised and warm.
pub(crate) struct Vm {
    state: *mut mrb::mrb_state,
    /// Names, filename and, in a session, local variables of what ran before.
    context: *mut mrb::mrbc_context,
    arena: Box<Arena>,
}

/// What an evaluation gets.
pub(crate) struct Task<'a> {
    pub(crate) code: &'a [u8],
    pub(crate) input: &'a [u8],
    pub(crate) seed: u64,
    pub(crate) instructions: u64,
    pub(crate) depth: usize,
}

/// What the code's file is called.
const MAIN: &CStr = c"main.rb";
/// How many local variables the code's outermost level may have, those of a session's earlier evaluations among them.
/// From 254 on mruby's code generator finds nothing but itself too complex (mrbgems/mruby-compiler/core/codegen.c).
const LOCALS: i32 = 250;

/// Ruby's face of the runner.
const PRELUDE: &str = include_str!("../mruby/prelude.rb");

/// `MRB_ARGS_REQ(1)` and `MRB_ARGS_ANY()` (include/mruby.h).
const ONE_ARGUMENT: u32 = 1 << 18;
const ANY_ARGUMENTS: u32 = 1 << 12;

impl Vm {
    /// Opens an interpreter within `memory` bytes. `natives` become methods of every object. `None`
    /// where the memory does not do.
    pub(crate) fn open(memory: usize, natives: &[(String, Native)]) -> Option<Self> {
        let mut arena = Box::new(Arena::new(memory)?);
        let data: *mut Arena = &raw mut *arena;
        // SAFETY: the arena is boxed and lives as long as the state.
        let state = unsafe { mrb::mrb_open_allocf(Some(arena::allocate), data.cast()) };
        if state.is_null() {
            return None;
        }
        // SAFETY: the state is open.
        let contexts = unsafe { [mrb::mrbc_context_new(state), mrb::mrbc_context_new(state)] };
        let mut vm = Self { state, context: contexts[0], arena };
        // SAFETY: the state is open, the names are C strings, the functions have mruby's signature.
        unsafe {
            mrb::mrbc_filename(state, contexts[0], c"prelude.rb".as_ptr());
            let kernel = (*state).kernel_module;
            mrb::mrb_define_method(state, kernel, c"__print".as_ptr(), Some(print), ONE_ARGUMENT);
            mrb::mrb_define_method(state, kernel, c"__native".as_ptr(), Some(native), ANY_ARGUMENTS);
        }
        watch::set_natives(natives);
        let mut prelude = PRELUDE.to_owned();
        for (index, (name, _)) in natives.iter().enumerate() {
            prelude.push_str(&format!("module Kernel; def {name}(*a) = __native({index}, *a); end\n"));
        }
        if vm.run(prelude.as_bytes()).is_err() || vm.exception().is_some() {
            return None;
        }
        vm.context = contexts[1];
        // SAFETY: the state is open.
        unsafe {
            mrb::mrbc_filename(state, contexts[1], MAIN.as_ptr());
            mrb::mrb_full_gc(state);
        }
        Some(vm)
    }

    /// The most bytes in use so far.
    pub(crate) fn peak(&self) -> u64 {
        self.arena.peak()
    }

    /// Runs code and writes the answer's frames but for the last. A limit that the interpreter counts
    /// ends the process instead.
    pub(crate) fn answer(&mut self, task: &Task<'_>) -> Answer {
        watch::start(task.instructions, task.depth, &self.arena);
        // SAFETY: the state is open; nothing else runs.
        let alive = unsafe {
            (*self.state).code_fetch_hook = Some(watch::hook);
            (*self.state).gc.arena_idx
        };
        self.arena.restart_peak();
        let ran = self.prepare(task).and_then(|()| self.run(task.code));
        let answer = match (ran, self.exception()) {
            (Err(answer), _) => answer,
            (Ok(_), Some(exception)) => self.explain(exception),
            (Ok(value), None) => self.show(value),
        };
        // What was kept alive for the answer is let go, or a session would keep it for good.
        // SAFETY: the state is open.
        unsafe {
            (*self.state).gc.arena_idx = alive;
            (*self.state).exc = std::ptr::null_mut();
        }
        answer
    }

    /// Seeds Random and sets `INPUT`.
    fn prepare(&mut self, task: &Task<'_>) -> Result<(), Answer> {
        let input = task.input;
        let made = self.protect(|state| {
            let seed = value::integer(state, (task.seed >> 2) as i64);
            // SAFETY: the state is open; a raise ends in `protect`, over frames that own nothing.
            unsafe {
                let kernel = mrb::mrb_value { w: (*state).kernel_module as usize };
                let srand = mrb::mrb_intern_cstr(state, c"srand".as_ptr());
                mrb::mrb_funcall_argv(state, kernel, srand, 1, &raw const seed);
                let value = json::read(state, input);
                let object = mrb::mrb_value { w: (*state).object_class as usize };
                mrb::mrb_const_set(state, object, mrb::mrb_intern_cstr(state, c"INPUT".as_ptr()), value);
                value
            }
        });
        match made {
            Ok(_) => Ok(()),
            Err(raised) => Err(self.explain(raised)),
        }
    }

    /// Parses and runs code. All of it is protected: where memory runs out, the code generator raises.
    fn run(&mut self, code: &[u8]) -> Result<mrb::mrb_value, Answer> {
        let mut refused = None;
        let context = self.context;
        // SAFETY: the state and the context are open, and the code is there until the parser is done.
        // The body owns nothing while mruby runs.
        let ran = self.protect(|state| unsafe {
            (*context).set_capture_errors(true);
            let before = (*context).slen;
            let parser = mrb::mrb_parse_nstring(state, code.as_ptr().cast(), code.len(), context);
            if parser.is_null() {
                refused = Some(Answer::NoMemory);
                return value::NIL;
            }
            if (*parser).nerr > 0 {
                refused = Some(complain(state, parser));
                mrb::mrb_parser_free(parser);
                return value::NIL;
            }
            if (*context).slen > LOCALS {
                (*context).slen = before;
                mrb::mrb_parser_free(parser);
                let class = mrb::mrb_class_get(state, c"ScriptError".as_ptr());
                mrb::mrb_raise(
                    state,
                    class,
                    c"more than 250 local variables outside of any block or method".as_ptr(),
                );
            }
            make_room(state, context, before);
            let value = mrb::mrb_load_exec(state, parser, context);
            mrb::mrb_gc_protect(state, value);
            value
        });
        match (refused, ran) {
            (Some(answer), _) => Err(answer),
            (None, Ok(value)) => Ok(value),
            (None, Err(raised)) => Err(self.explain(raised)),
        }
    }

    fn exception(&self) -> Option<mrb::mrb_value> {
        // SAFETY: the state is open.
        let raised = unsafe { (*self.state).exc };
        (!raised.is_null()).then_some(mrb::mrb_value { w: raised as usize })
    }

    /// Calls into mruby; a raise comes back as `Err`. The body must own nothing: a raise jumps over it.
    fn protect<F: FnOnce(*mut mrb::mrb_state) -> mrb::mrb_value>(
        &mut self,
        body: F,
    ) -> Result<mrb::mrb_value, mrb::mrb_value> {
        unsafe extern "C" fn call<F: FnOnce(*mut mrb::mrb_state) -> mrb::mrb_value>(
            state: *mut mrb::mrb_state,
            data: *mut c_void,
        ) -> mrb::mrb_value {
            // SAFETY: `data` is the option below, which outlives the call.
            let body = unsafe { (*data.cast::<Option<F>>()).take() };
            match body {
                Some(body) => body(state),
                None => value::NIL,
            }
        }
        let mut body = Some(body);
        let mut raised = false;
        // SAFETY: the state is open; `call` and `body` are of one type.
        let value = unsafe {
            (*self.state).exc = std::ptr::null_mut();
            mrb::mrb_protect_error(self.state, Some(call::<F>), (&raw mut body).cast(), &raw mut raised)
        };
        if raised { Err(value) } else { Ok(value) }
    }

    /// Writes the value's text, and its JSON where it is plain data.
    fn show(&mut self, value: mrb::mrb_value) -> Answer {
        // SAFETY: the state is open; a raise ends in `protect`.
        let inspected = self.protect(|state| unsafe { mrb::mrb_inspect(state, value) });
        match inspected {
            Ok(text) => Text::new(Kind::Inspect).put(value::bytes(text).unwrap_or(b"?")),
            Err(raised) => return self.explain(raised),
        }
        if json::is_plain(self.state, value) {
            json::write(self.state, value, &mut Text::new(Kind::Json));
        }
        Answer::Value
    }

    /// Writes an exception's class, message and backtrace. What its own methods raise is not asked again.
    fn explain(&mut self, raised: mrb::mrb_value) -> Answer {
        let mut class = c"Exception";
        // SAFETY: the value is an exception's, alive as long as it is protected, and its class's name
        // with it.
        let named = self.protect(|state| unsafe {
            mrb::mrb_gc_protect(state, raised);
            let name = mrb::mrb_obj_classname(state, raised);
            if !name.is_null() {
                class = CStr::from_ptr(name);
            }
            raised
        });
        if named.is_err() {
            return Answer::NoMemory;
        }
        if class == c"NoMemoryError" {
            return Answer::NoMemory;
        }
        if class == c"SystemStackError" {
            return Answer::TooDeep;
        }
        Text::new(Kind::Class).put(class.to_bytes());
        if let Ok(message) = self.call(raised, c"message") {
            Text::new(Kind::Message).put(value::bytes(message).unwrap_or_default());
        }
        if let Ok(backtrace) = self.call(raised, c"backtrace")
            && let Shape::Array(length) = value::shape(self.state, backtrace)
        {
            let mut text = Text::new(Kind::Backtrace);
            for index in 0..length {
                // SAFETY: the value is an array.
                let line = unsafe { mrb::mrb_ary_entry(backtrace, index as mrb::mrb_int) };
                text.put(value::bytes(line).unwrap_or_default());
                text.put(b"\n");
            }
        }
        Answer::Exception
    }

    fn call(&mut self, of: mrb::mrb_value, method: &'static CStr) -> Result<mrb::mrb_value, mrb::mrb_value> {
        // SAFETY: the state is open; a raise ends in `protect`.
        self.protect(|state| unsafe {
            let name = mrb::mrb_intern_cstr(state, method.as_ptr());
            mrb::mrb_funcall_argv(state, of, name, 0, std::ptr::null())
        })
    }
}

/// Writes where the parser stopped, and why.
///
/// # Safety
/// The state is open, and the parser has counted an error.
unsafe fn complain(state: *mut mrb::mrb_state, parser: *const mrb::mrb_parser_state) -> Answer {
    // SAFETY: as the caller promises; the messages are the parser's.
    unsafe {
        let first = (*parser).error_buffer[0];
        // Without memory the parser counts an error and leaves its first place empty.
        if first.message.is_null() || !(*state).exc.is_null() {
            return Answer::NoMemory;
        }
        let [a, b, c, d] = u32::from(first.lineno).to_le_bytes();
        let [e, f, g, h] = (first.column as u32).to_le_bytes();
        out::frame(Kind::Place, &[a, b, c, d, e, f, g, h]);
        Text::new(Kind::Message).put(CStr::from_ptr(first.message).to_bytes());
        Answer::Syntax
    }
}

/// In a session, has the local variables that are new begin as nil, and be within reach of blocks:
/// the environment that an earlier evaluation's blocks share is as long as its own variables
/// (mruby's mirb does the same).
///
/// # Safety
/// The state is open, and nothing runs.
unsafe fn make_room(state: *mut mrb::mrb_state, context: *const mrb::mrbc_context, before: i32) {
    // SAFETY: the stack begins with self and the local variables; what is behind is dead. The
    // environment's length is the low 8 bits of its flags (include/mruby/proc.h MRB_ENV_SET_LEN).
    unsafe {
        let stack = &*(*state).c;
        if stack.cibase.is_null() || stack.ci != stack.cibase {
            return;
        }
        let size = stack.stend.offset_from(stack.stbase).max(0) as usize;
        for fresh in 1 + before.max(0) as usize..size {
            stack.stbase.add(fresh).write(value::NIL);
        }
        let shared = (*stack.cibase).u.env;
        if let Some(shared) = shared.as_mut()
            && shared.tt() == mrb::mrb_vtype_MRB_TT_ENV
        {
            let length = (1 + (*context).slen).min(0xff) as u32;
            if shared.flags() & 0xff < length {
                shared.set_flags(shared.flags() & !0xff | length);
            }
        }
    }
}

/// `__print(string)`.
unsafe extern "C" fn print(state: *mut mrb::mrb_state, _: mrb::mrb_value) -> mrb::mrb_value {
    let mut text = value::NIL;
    // SAFETY: mruby calls this with an open state; "S" wants one place for a string, or raises.
    unsafe { mrb::mrb_get_args(state, c"S".as_ptr(), &raw mut text) };
    if let Some(bytes) = value::bytes(text) {
        Text::new(Kind::Stdout).put(bytes);
    }
    value::NIL
}

/// `__native(index, *integers)`.
unsafe extern "C" fn native(state: *mut mrb::mrb_state, _: mrb::mrb_value) -> mrb::mrb_value {
    let (mut values, mut count) = (std::ptr::null::<mrb::mrb_value>(), 0 as mrb::mrb_int);
    // SAFETY: mruby calls this with an open state; "*" wants these two places.
    unsafe { mrb::mrb_get_args(state, c"*".as_ptr(), &raw mut values, &raw mut count) };
    let mut integers = [0_i64; 8];
    let taken = (count.max(0) as usize).min(integers.len());
    for (index, integer) in integers.iter_mut().enumerate().take(taken) {
        // SAFETY: mruby gave that many values; a value that is no number raises.
        *integer = unsafe { value::as_integer(state, *values.add(index)) };
    }
    let Some((index, arguments)) = integers[..taken].split_first() else { return value::NIL };
    value::integer(state, watch::native(*index as usize).map_or(-1, |call| call(arguments)))
}
