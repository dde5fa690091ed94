//! The Journal: the append-only record of every staging update, as JSON lines that any text tool
//! reads.
//!
//! The first line is the header: the version staging started from, and its state. After it come
//! groups: one line per update, then one commit line. A group counts when its commit line is
//! complete and its checksum matches, so an interrupted write leaves exactly the groups before it.
//! Space is reserved ahead of the end as empty lines (or zero bytes, as a file system leaves them
//! after a power cut); they have no meaning. Folding the Journal gives the staging state: it is the
//! only source.

mod error;
mod fold;
mod group;
mod header;
mod lines;
mod reading;
mod record;
pub mod rewriting;

pub use error::JournalError;
pub use fold::{Fold, Folded, Group, Tail};
pub use group::{holds_a_group, is_reserved};
pub use header::{Base, SCHEMA, SealedAs, header, header_after};
pub use reading::{find, has_withdrawals, ids, records, scan, sealed, sealed_at, text_of_id, walk};
pub use record::{
    CAS, Conversation, Draft, Heading, OWN_TOOLS, Record, SET, WITHDRAW, digest_of_withdrawn,
    withdrawal_id, withdrawn_id,
};

#[cfg(test)]
mod tests {
    use super::header::SEALED_KEPT;
    use super::*;
    use crate::formats::canonical;
    use crate::formats::object_id::ObjectId;
    use proptest::prelude::*;
    use semver::Version;
    use serde_json::{Value, json};

    fn base() -> Base {
        let id = ObjectId::of_blob(b"any");
        Base { version: Version::new(0, 1, 0), commit: id.clone(), revision: id }
    }

    fn draft(id: &str, state: Option<Value>) -> Draft {
        Draft {
            id: id.to_owned(),
            tool: "reward".to_owned(),
            arguments: json!({"value": 1.5}),
            conversation: None,
            trace: None,
            at: "2026-11-22T12:00:00.000Z".to_owned(),
            tags: Vec::new(),
            effects: None,
            touched: None,
            summary: None,
            state,
        }
    }

    /// A Journal of these groups of states, and where each group ends.
    fn journal(start: &Value, groups: &[Vec<Value>]) -> (Vec<u8>, Vec<(usize, Value)>) {
        let mut bytes = header(&base(), 1, start);
        let mut fold = Fold::begin(&bytes).unwrap();
        let mut ends = vec![(bytes.len(), fold.state.clone())];
        for states in groups {
            let drafts = states.iter().map(|state| draft("s", Some(state.clone()))).collect();
            let group = fold.compose(drafts);
            bytes.extend(&group.bytes);
            fold.accept(group);
            ends.push((bytes.len(), fold.state.clone()));
        }
        (bytes, ends)
    }

    fn fold(bytes: &[u8]) -> Result<(Fold, Tail), JournalError> {
        let mut fold = Fold::begin(bytes)?;
        let (_, tail) = fold.extend(&bytes[usize::try_from(fold.end).unwrap()..])?;
        Ok((fold, tail))
    }

    #[test]
    fn a_group_reads_as_json_lines() {
        let (bytes, _) = journal(
            &json!({"n": 0, "long enough for a change to be the shorter": true}),
            &[vec![json!({"n": 1, "long enough for a change to be the shorter": true})]],
        );
        insta::assert_snapshot!(String::from_utf8(bytes).unwrap(), @r#"
        {"schema":"agent/journal@1","base":{"version":"0.1.0","commit":"124009d7b7878b04309093e268eb3bbf1e099a72","revision":"124009d7b7878b04309093e268eb3bbf1e099a72"},"first":1,"state":{"long enough for a change to be the shorter":true,"n":0},"crc":"2a0a03a9"}
        {"seq":1,"id":"s","tool":"reward","arguments":{"value":1.5},"before":"57389d6d45c6ff9e9066c51e8a94aa01949b1055","after":"fe5a420f974fef933146ae392694b91ae86ea24a","at":"2026-11-22T12:00:00.000Z","change":[{"op":"replace","path":"/n","value":1}]}
        {"commit":{"seq":1,"bytes":246,"after":"fe5a420f974fef933146ae392694b91ae86ea24a"},"crc":"ef0369eb"}
        "#);
    }

    #[test]
    fn the_records_come_back_as_they_were_written() {
        let (bytes, _) = journal(
            &json!({"n": 0}),
            &[vec![json!({"n": 1}), json!({"n": 1})], vec![json!({"n": 2})]],
        );
        let records = records(&bytes).unwrap();
        assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(records[1].before, records[1].after);
        assert!(records[1].change.is_none() && records[1].state.is_none());
        assert_eq!(records[2].after, canonical::revision(&json!({"n": 2})));
    }

    #[test]
    fn invalid_byte_is_damage_in_the_middle_and_a_torn_tail_at_the_end() {
        let (bytes, ends) = journal(
            &json!({"n": 0}),
            &[vec![json!({"n": 1})], vec![json!({"n": 2})], vec![json!({"n": 3})]],
        );
        let middle = ends[1].0 + 30;
        let mut damaged = bytes.clone();
        damaged[middle] ^= 1;
        let (known, tail) = fold(&damaged).unwrap();
        assert_eq!((known.end, tail), (ends[1].0 as u64, Tail::Torn));
        assert!(holds_a_group(&damaged[ends[1].0..]));
        assert!(matches!(walk(&damaged, |_, _| ()), Err(JournalError::Damaged { .. })));

        let mut torn = bytes;
        torn[ends[2].0 + 30] ^= 1;
        assert_eq!(fold(&torn).unwrap().0.state, json!({"n": 2}));
        assert!(!holds_a_group(&torn[ends[2].0..]));
    }

    #[test]
    fn newer_format_is_named() {
        let line = b"{\"schema\":\"agent/journal@9\",\"more\":1}\n";
        assert_eq!(Fold::begin(line), Err(JournalError::Unknown("agent/journal@9".to_owned())));
        for wrong in [&b""[..], b"{", b"rubbish\n", b"{\"schema\":\"agent/journal@1\"}\n"] {
            assert!(matches!(Fold::begin(wrong), Err(JournalError::Header(_))), "{wrong:?}");
        }
    }

    #[test]
    fn next_journal_lists_sealed_digests() {
        let commit = ObjectId::of_blob(b"c");
        let sealed = |patch: u64| SealedAs {
            journal: format!("sha256:{patch}"),
            version: Version::new(0, 1, patch),
            commit: commit.clone(),
        };
        let many: Vec<_> = (0..100).map(sealed).collect();
        let base = Base {
            version: Version::new(0, 1, 99),
            commit: commit.clone(),
            revision: commit.clone(),
        };
        let fold = Fold::begin(&header_after(&base, 1, &json!({}), &many)).unwrap();
        assert_eq!(fold.sealed, many[100 - SEALED_KEPT..]);
        assert!(
            !String::from_utf8(header(&base, 1, &json!({}))).unwrap().contains("sealed"),
            "the format is as it was where there are none"
        );
    }

    #[test]
    fn the_ids_of_a_journal_are_those_of_its_records() {
        let (bytes, _) = journal(
            &json!({"n": 0}),
            &[vec![json!({"n": 1}), json!({"n": 2})], vec![json!({"n": 3})]],
        );
        let records = records(&bytes).unwrap();
        assert_eq!(
            ids(&bytes).unwrap(),
            records.iter().map(|record| record.id.clone()).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_sealed_prefix_is_found_again_by_its_digest() {
        let (bytes, ends) = journal(
            &json!({"n": 0}),
            &[vec![json!({"n": 1}), json!({"n": 2})], vec![json!({"n": 3})]],
        );
        assert_eq!(sealed(&bytes, 0).unwrap().unwrap().len(), ends[0].0);
        assert_eq!(sealed(&bytes, 1).unwrap(), None);
        let prefix = sealed(&bytes, 2).unwrap().unwrap();
        assert_eq!(prefix.len(), ends[1].0);
        assert_eq!(sealed_at(&bytes, &crate::formats::object_id::digest(prefix)).unwrap(), Some(2));
        assert_eq!(sealed_at(&bytes, "sha256:other").unwrap(), None);
    }

    fn any_state() -> impl Strategy<Value = Value> {
        prop::collection::vec(("[a-c~/]{0,3}", any_value()), 0..4)
            .prop_map(|entries| Value::Object(entries.into_iter().collect()))
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e9f64..1e9).prop_map(Value::from),
            "[a-z~/.\"\\n]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-c~/]{0,3}", inner), 0..4)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        /// Truncated anywhere, a Journal folds to the state after its last complete group and
        /// reports whether bytes remain.
        #[test]
        fn any_truncation_folds_to_the_last_whole_group(
            start in any_state(),
            groups in prop::collection::vec(prop::collection::vec(any_state(), 1..4), 0..6),
            cut in any::<prop::sample::Index>(),
            reserve in 0usize..40,
        ) {
            let (bytes, ends) = journal(&start, &groups);
            let header = ends[0].0;
            let cut = header + cut.index(bytes.len() - header + 1);
            // reserved space is newlines: a group that lacks only its last newline is complete
            let cut = if reserve > 0 && bytes.get(cut) == Some(&b'\n') { cut + 1 } else { cut };
            let (end, state) = ends.iter().rev().find(|(end, _)| *end <= cut).unwrap();
            let mut written = bytes[..cut].to_vec();
            written.resize(cut + reserve, b'\n');
            let (known, tail) = fold(&written).unwrap();
            prop_assert_eq!(&known.state, state);
            prop_assert_eq!(known.end, *end as u64);
            prop_assert_eq!(tail == Tail::Clean, cut == *end);
            prop_assert!(!holds_a_group(&written[*end..]));
        }

        /// An incremental fold equals the full fold, and the records rebuild the same bytes.
        #[test]
        fn incremental_fold_equals_the_full_fold(
            start in any_state(),
            groups in prop::collection::vec(prop::collection::vec(any_state(), 1..4), 1..6),
            split in any::<prop::sample::Index>(),
        ) {
            let (bytes, ends) = journal(&start, &groups);
            let at = ends[split.index(ends.len())].0;
            let mut in_two = fold(&bytes[..at]).unwrap().0;
            in_two.extend(&bytes[at..]).unwrap();
            prop_assert_eq!(&in_two, &fold(&bytes).unwrap().0);

            let mut states = Vec::new();
            walk(&bytes, |record, state| states.push((record.after.clone(),
                canonical::to_bytes(state)))).unwrap();
            for (after, state) in states {
                prop_assert_eq!(after, ObjectId::of_blob(&state));
            }
        }
    }
}
