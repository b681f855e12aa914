//! Ruby values as mruby boxes them in a word (include/mruby/boxing_word.h, 64 bits, `MRB_WORDBOX_NO_FLOAT_TRUNCATE`).

use mruby_sys as mrb;

/// `nil`.
pub(super) const NIL: mrb::mrb_value = mrb::mrb_value { w: 0 };
/// `false`.
pub(super) const FALSE: mrb::mrb_value = mrb::mrb_value { w: 4 };
/// `true`.
pub(super) const TRUE: mrb::mrb_value = mrb::mrb_value { w: 12 };

/// What a value is, as far as plain data goes.
pub(super) enum Shape<'a> {
    Nil,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Symbol(&'a [u8]),
    String(&'a [u8]),
    /// An array and its length.
    Array(usize),
    Hash(*mut mrb::RHash),
    Other,
}

/// Looks at a value. What is borrowed lives until Ruby code runs again.
pub(super) fn shape<'a>(state: *mut mrb::mrb_state, value: mrb::mrb_value) -> Shape<'a> {
    match value.w {
        0 => return Shape::Nil,
        4 => return Shape::Bool(false),
        12 => return Shape::Bool(true),
        word if word & 1 == 1 => return Shape::Integer(word as i64 >> 1),
        word if word & 3 == 2 => return symbol(state, (word >> 2) as mrb::mrb_sym),
        word if word & 7 != 0 => return Shape::Other,
        _ => {}
    }
    // SAFETY: a word of none of these forms is a pointer to an object, whose type is in its header.
    unsafe {
        match (*(value.w as *const mrb::RBasic)).tt() {
            mrb::mrb_vtype_MRB_TT_FLOAT => Shape::Float((*(value.w as *const mrb::RFloat)).f),
            mrb::mrb_vtype_MRB_TT_INTEGER => Shape::Integer((*(value.w as *const mrb::RInteger)).i),
            mrb::mrb_vtype_MRB_TT_STRING => bytes(value).map_or(Shape::Other, Shape::String),
            mrb::mrb_vtype_MRB_TT_ARRAY => {
                let array = value.w as *const mrb::RArray;
                let embedded = (*array).flags() & mrb::MRB_ARY_EMBED_MASK;
                Shape::Array(match embedded {
                    0 => (*array).as_.heap.len as usize,
                    length => length as usize - 1,
                })
            }
            mrb::mrb_vtype_MRB_TT_HASH => Shape::Hash(value.w as *mut mrb::RHash),
            _ => Shape::Other,
        }
    }
}

fn symbol<'a>(state: *mut mrb::mrb_state, symbol: mrb::mrb_sym) -> Shape<'a> {
    let mut length = 0;
    // SAFETY: the state is open; the name belongs to the symbol table, or to the state's buffer for
    // short ones until the next such call.
    unsafe {
        let name = mrb::mrb_sym_name_len(state, symbol, &raw mut length);
        if name.is_null() {
            return Shape::Other;
        }
        Shape::Symbol(std::slice::from_raw_parts(name.cast(), length as usize))
    }
}

/// A string's bytes, until Ruby code runs again; `None` for what is no string.
pub(super) fn bytes<'a>(value: mrb::mrb_value) -> Option<&'a [u8]> {
    if value.w == 0 || value.w & 7 != 0 {
        return None;
    }
    // SAFETY: the word is a pointer to an object; its header says whether it is a string and where its
    // bytes are (include/mruby/string.h).
    unsafe {
        let string = value.w as *const mrb::RString;
        if (*string).tt() != mrb::mrb_vtype_MRB_TT_STRING {
            return None;
        }
        let flags = (*string).flags();
        if flags & mrb::MRB_STR_EMBED != 0 {
            let embedded = value.w as *const mrb::RStringEmbed;
            let length = (flags & mrb::MRB_STR_EMBED_LEN_MASK) >> mrb::MRB_STR_EMBED_LEN_SHIFT;
            return Some(std::slice::from_raw_parts((&raw const (*embedded).ary).cast(), length as usize));
        }
        let heap = (*string).as_.heap;
        Some(std::slice::from_raw_parts(heap.ptr.cast(), heap.len as usize))
    }
}

/// An integer.
pub(super) fn integer(state: *mut mrb::mrb_state, value: i64) -> mrb::mrb_value {
    // SAFETY: the state is open; the call may raise for want of memory, over frames that own nothing.
    unsafe { mrb::mrb_boxing_int_value(state, value) }
}

/// A value as an integer; raises a TypeError for what is none.
///
/// # Safety
/// The state is open, and a raise may jump over the caller's frame.
pub(super) unsafe fn as_integer(state: *mut mrb::mrb_state, value: mrb::mrb_value) -> i64 {
    match shape(state, value) {
        Shape::Integer(value) => value,
        // SAFETY: as the caller promises.
        _ => unsafe {
            mrb::mrb_raise(
                state,
                mrb::mrb_class_get(state, c"TypeError".as_ptr()),
                c"integers only".as_ptr(),
            );
            0
        },
    }
}
