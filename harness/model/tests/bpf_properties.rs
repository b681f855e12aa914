//! What holds for every filter.

use atlas_model::abi::SeccompData;
use atlas_model::action::most_restrictive;
use atlas_model::bpf::{self, ChainUnit, Dialect, Filter, Insn, op};
use proptest::prelude::*;

/// Codes that seccomp accepts, a few that it does not, and now and then any.
fn code() -> impl Strategy<Value = u16> {
    let classes = [op::ALU, op::JMP];
    let operations: Vec<u16> =
        classes.iter().flat_map(|class| (0..32).map(move |bits| class | bits << 3)).collect();
    let others = vec![
        op::LD_ABS,
        op::LD_IMM,
        op::LDX_IMM,
        op::LD_LEN,
        op::LDX_LEN,
        op::LD_MEM,
        op::LDX_MEM,
        op::ST,
        op::STX,
        op::JA,
        op::RET_K,
        op::RET_A,
        op::TAX,
        op::TXA,
    ];
    prop_oneof![
        40 => proptest::sample::select(others),
        30 => proptest::sample::select(operations),
        1 => any::<u16>(),
    ]
}

fn operand() -> impl Strategy<Value = u32> {
    prop_oneof![0_u32..18, (0_u32..17).prop_map(|word| 4 * word), any::<u32>()]
}

fn insn() -> impl Strategy<Value = Insn> {
    (code(), 0_u8..6, 0_u8..6, operand()).prop_map(|(code, jt, jf, k)| Insn { code, jt, jf, k })
}

fn soup() -> impl Strategy<Value = Vec<Insn>> {
    proptest::collection::vec(insn(), 0..40)
}

/// Filters that are accepted, because their instructions are one by one, every scratch word is
/// stored before, and there are enough returns behind for every jump.
fn sound() -> impl Strategy<Value = Vec<Insn>> {
    let dialect = Dialect::default();
    let accepted = move |insn: &Insn| {
        let stores = (0..16).map(bpf::st);
        let program: Vec<Insn> = stores.chain([*insn]).chain(std::iter::repeat_n(bpf::ret_a(), 8)).collect();
        bpf::check(&program, &dialect).is_ok()
    };
    let body = proptest::collection::vec(insn().prop_filter("accepted alone", accepted), 0..40);
    body.prop_map(|body| {
        let stores = (0..16).map(bpf::st);
        stores.chain(body).chain(std::iter::repeat_n(bpf::ret_a(), 8)).collect()
    })
}

fn data() -> impl Strategy<Value = SeccompData> {
    let fields = (any::<u32>(), any::<u32>(), any::<u64>(), any::<[u64; 6]>());
    fields.prop_map(|(nr, arch, instruction_pointer, args)| SeccompData {
        nr,
        arch,
        instruction_pointer,
        args,
    })
}

fn dialect() -> impl Strategy<Value = Dialect> {
    any::<[bool; 3]>().prop_map(|[xor, wide_shift, reciprocal_division]| Dialect {
        xor,
        wide_shift,
        reciprocal_division,
        chain_unit: ChainUnit::EbpfPrologue3,
    })
}

proptest! {
    #[test]
    fn nothing_panics_on_soup(insns in soup(), data in data(), dialect in dialect()) {
        let _ = bpf::check(&insns, &dialect);
        let ran = bpf::run(&insns, &data, &dialect);
        prop_assert!(ran.steps as usize <= insns.len());
        let text = bpf::disassemble(&insns);
        prop_assert_eq!(text.lines().count(), insns.len() + 2);
    }

    #[test]
    fn nothing_panics_on_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(filter) = Filter::from_bytes(&bytes) {
            let _ = bpf::check(&filter, &Dialect::default());
            let _ = bpf::run(&filter, &SeccompData::default(), &Dialect::default());
            let _ = bpf::disassemble(&filter);
        }
    }

    #[test]
    fn accepted_filters_end_at_a_return_or_a_division(insns in sound(), data in data()) {
        let dialect = Dialect::default();
        prop_assert_eq!(bpf::check(&insns, &dialect), Ok(()));
        let ran = bpf::run(&insns, &data, &dialect);
        prop_assert!(ran.steps as usize <= insns.len());
        let last = insns[ran.decided_at];
        match last.code {
            op::RET_K => prop_assert_eq!(ran.word, last.k),
            op::RET_A => {}
            code => {
                prop_assert_eq!(code, op::ALU | op::DIV | op::X);
                prop_assert_eq!(ran.word, 0);
            }
        }
    }

    #[test]
    fn accepted_filters_are_within_the_kernels_lengths(insns in sound()) {
        prop_assert_eq!(bpf::check(&insns, &Dialect::default()), Ok(()));
        prop_assert_eq!(bpf::kernel_len(&insns, ChainUnit::Classic), insns.len());
        let converted = bpf::attached_len(&insns, ChainUnit::EbpfPrologue3);
        prop_assert!((insns.len() + 3..=3 + 5 * insns.len()).contains(&converted));
    }

    #[test]
    fn bytes_round_trip(insns in soup()) {
        let filter = Filter(insns);
        let bytes = filter.to_bytes();
        prop_assert_eq!(bytes.len(), 8 * filter.len());
        prop_assert_eq!(&Filter::from_bytes(&bytes), &Ok(filter));
        if !bytes.is_empty() {
            prop_assert!(Filter::from_bytes(&bytes[1..]).is_err());
        }
    }

    #[test]
    fn no_filter_can_be_overruled_by_a_weaker_one(
        words in proptest::collection::vec(any::<u32>(), 0..8),
        high_bit_ignored: bool,
    ) {
        let rank = |word: u32| {
            let kept = if high_bit_ignored { word & 0x7fff_0000 } else { word & 0xffff_0000 };
            kept as i32
        };
        match most_restrictive(&words, high_bit_ignored) {
            None => prop_assert!(words.iter().all(|&word| rank(word) >= 0x7fff_0000)),
            Some(winner) => {
                prop_assert!(words.iter().all(|&word| rank(words[winner]) <= rank(word)));
                prop_assert!(words[..winner].iter().all(|&newer| rank(newer) > rank(words[winner])));
            }
        }
    }
}
