//! What holds for every filter.

use atlas_model::abi::SeccompData;
use atlas_model::action::most_restrictive;
use atlas_model::arbitrary::broken::{self, soup};
use atlas_model::arbitrary::program::valid;
use atlas_model::bpf::{self, ChainUnit, Dialect, Filter, op};
use proptest::prelude::*;

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
    fn accepted_filters_end_at_a_return_or_a_division(insns in valid(), data in data()) {
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
    fn accepted_filters_are_within_the_kernels_lengths(insns in valid()) {
        prop_assert_eq!(bpf::check(&insns, &Dialect::default()), Ok(()));
        prop_assert_eq!(bpf::kernel_len(&insns, ChainUnit::Classic), insns.len());
        let converted = bpf::attached_len(&insns, ChainUnit::EbpfPrologue3);
        prop_assert!((insns.len() + 3..=3 + 5 * insns.len()).contains(&converted));
    }

    #[test]
    fn tables_are_read_back_whole(filter in broken::any()) {
        prop_assert_eq!(bpf::assemble(&bpf::disassemble(&filter)), Ok(filter));
    }

    /// The notation of one instruction does not carry the fields that the operation does not use, so what
    /// is read back is what reads the same.
    #[test]
    fn instructions_are_read_back_as_they_are_written(filter in broken::any()) {
        let lines = |filter: &Filter| filter.iter().map(|insn| format!("{insn}\n")).collect::<String>();
        let text = lines(&filter);
        let read = bpf::assemble(&text);
        let same = read.as_ref().map(|read| lines(read) == text && read.len() == filter.len());
        prop_assert_eq!(same, Ok(true));
    }

    #[test]
    fn no_text_panics(text in any::<String>(), line in "[0-9a-zM]{1,5}:? [#x\\[]?[0-9a-fx]{0,11}[\\], 0-9]{0,9}") {
        let _ = bpf::assemble(&text);
        let _ = bpf::assemble(&line);
    }

    #[test]
    fn bytes_round_trip(filter in soup()) {
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
